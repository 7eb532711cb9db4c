/** The actuator that changes nothing: the pools are as large as they report to be. */
import { CovoteError } from "../../lib/core/errors.js";
import type { LoadBook } from "../../lib/runtime/load-book.js";
import { type PerPool, type PoolName, perPool } from "../../lib/scaling/observation.js";
import type { Actuator, PoolState } from "./actuator.js";
import { roleOfPool } from "./observe.js";

/** Processes that report, pool by pool. Throws `unavailable` while a pool that is not empty has none. */
export function reporting(book: LoadBook, nowMs: number, max: PerPool<number>): PerPool<PoolState> {
  return perPool((pool: PoolName) => {
    const { reporters } = book.engines(roleOfPool[pool], nowMs);
    if (reporters === 0 && max[pool] > 0) {
      const text = `no replica of ${pool} reports its load; is one running, and may it publish load reports?`;
      throw new CovoteError("unavailable", text, { field: `scaling.pools.${pool}` });
    }
    return { wanted: reporters, ready: reporters, present: reporters };
  });
}

export function createObservingActuator(book: LoadBook, now: () => number, max: PerPool<number>): Actuator {
  return {
    name: "observe",
    read: async () => reporting(book, now(), max),
    apply: () =>
      Promise.reject(new CovoteError("failed_precondition", "scaling.actuator: observe changes nothing")),
    close: () => Promise.resolve(),
  };
}
