/**
 * Sets of principles that were drawn apart, kept for all workers: by the hash of everything that determines them.
 *
 * - The first one written under a hash stands, for a day; the oldest make room for new ones.
 * - What is read is checked as if a model had just written it: an entry that is not principles is as good as none.
 * - No operation takes longer than a second. A store that fails is left alone for some seconds, so that votes do not
 *   wait for it one after the other.
 */
import type { Bus, KeyValue } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { deadlineIn, withDeadline } from "../../lib/core/deadline.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { SplitGrammar } from "../../lib/grm/judgment.js";
import type { KeptPrinciples } from "../../lib/wire/gen/covote/v1/judging.js";
import { keptPrinciplesCodec } from "../../lib/wire/messages.js";

export type Kept = { t: "kept"; kept: KeptPrinciples } | { t: "none" } | { t: "bad" } | { t: "away" };

export interface PrinciplesStore {
  /** Never rejects. `bad`: there is an entry that is not principles. `away`: the store cannot be asked. */
  get(key: string): Promise<Kept>;
  /** Never rejects. Keeps the set unless there is one; the one that stands. */
  keep(key: string, principles: KeptPrinciples): Promise<Kept>;
}

const operationMs = 1000;
const pauseMs = 5000;

export function createPrinciplesStore(
  { bus, clock, log }: { bus: Bus; clock: Clock; log: Logger },
  split: SplitGrammar,
): PrinciplesStore {
  let awayUntilMs = Number.NEGATIVE_INFINITY;

  const work = async (what: string, operation: (store: KeyValue) => Promise<Kept>): Promise<Kept> => {
    if (clock.monotonic() < awayUntilMs) return { t: "away" };
    try {
      // Opened with the first use: a cluster whose votes write their own principles has no such bucket.
      return await withDeadline(deadlineIn(clock, operationMs), { what, clock }, async () =>
        operation(await bus.kv("principles")),
      );
    } catch (error) {
      awayUntilMs = clock.monotonic() + pauseMs;
      log.warn({ error }, "the store of principles does not answer; votes write their own for a while");
      return { t: "away" };
    }
  };

  const get = (key: string): Promise<Kept> =>
    work("reading principles", async (store) => {
      const entry = await store.get(key);
      return entry === null ? { t: "none" } : read(entry.value, split);
    });

  return {
    get,
    keep: async (key, principles) => {
      const value = keptPrinciplesCodec.encode(principles);
      const written = await work("keeping principles", async (store) => {
        try {
          await store.create(key, value);
          return { t: "kept", kept: principles };
        } catch (thrown) {
          if (CovoteError.from(thrown).code === "already_exists") return { t: "none" };
          throw thrown;
        }
      });
      return written.t === "none" ? get(key) : written;
    },
  };
}

function read(bytes: Uint8Array, split: SplitGrammar): Kept {
  try {
    const kept = keptPrinciplesCodec.decode(bytes);
    return split.holds(kept.text) ? { t: "kept", kept } : { t: "bad" };
  } catch {
    // Bytes that are no such message are no principles either.
    return { t: "bad" };
  }
}
