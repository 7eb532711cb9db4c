/** Several engines on one checkpoint, a thread each; which one answers changes nothing. */
import { CovoteError } from "../../lib/core/errors.js";
import type { Died } from "../../lib/engine/engine.js";

export interface Engines<E> {
  /** The next one, in turn. */
  next(): E;
  /** Resolves with the cause when one of them is gone for good. */
  failed: Promise<CovoteError>;
  /** Of the weights that all serve. */
  version: string;
  close(): Promise<void>;
}

interface Engine {
  version(): { version: string };
  readonly died?: Died;
  close(): Promise<void>;
}

export async function openEngines<E extends Engine>(
  threads: number,
  open: () => Promise<E>,
): Promise<Engines<E>> {
  const first = await open();
  const engines = [first, ...(await Promise.all(Array.from({ length: threads - 1 }, open)))];
  const deaths = engines.flatMap(({ died }) => (died === undefined ? [] : [died]));
  let turn = 0;
  return {
    next: () => engines[turn++ % engines.length] as E,
    failed: Promise.race(deaths).then((cause) => CovoteError.from(cause)),
    version: first.version().version,
    close: async () => {
      await Promise.all(engines.map((engine) => engine.close()));
    },
  };
}

/** `work` on every index below `count`, at most `width` at a time; rejects with the first failure. */
export async function inLanes(
  count: number,
  width: number,
  signal: AbortSignal,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      signal.throwIfAborted();
      await work(next++);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}
