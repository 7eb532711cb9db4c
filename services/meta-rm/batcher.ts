/**
 * Joins what arrives while the engine is busy into its next call, at most `limit` items at a time. One call
 * runs at a time, so an idle engine is called at once and a busy one in large batches.
 */
import { deferred } from "../../lib/core/deferred.js";

export interface Batcher<I, O> {
  /** One output per item, in order; rejects when the call that held one of them failed. */
  add(items: readonly I[]): Promise<O[]>;
}

export function createBatcher<I, O>(
  call: (items: readonly I[]) => Promise<O[]>,
  limit: number,
): Batcher<I, O> {
  const waiting: { item: I; settle: (outcome: Promise<O>) => void }[] = [];
  let running = false;

  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, limit);
      const outputs = call(batch.map((entry) => entry.item));
      batch.forEach((entry, i) => {
        entry.settle(outputs.then((all) => all[i] as O));
      });
      await outputs.catch(() => undefined);
    }
    running = false;
  };

  return {
    add: async (items) => {
      const outputs = items.map((item) => {
        const { promise, resolve, reject } = deferred<O>();
        waiting.push({ item, settle: (outcome) => void outcome.then(resolve, reject) });
        return promise;
      });
      void run();
      return Promise.all(outputs);
    },
  };
}
