/** How long new replicas take to get ready, from what was asked for and what is ready. Pure but for its memory. */
import { type PerPool, perPool, poolNames } from "../../lib/scaling/observation.js";
import type { PoolState } from "./actuator.js";

export interface StartWatch {
  /** Times of the replicas that became ready since the last look, in milliseconds. */
  look(states: PerPool<PoolState>, nowMs: number): PerPool<number[]>;
}

/** Starts that are waited for, per pool. */
const mostPending = 1024;

export function createStartWatch(): StartWatch {
  let before: PerPool<PoolState> | null = null;
  const pending = perPool<number[]>(() => []);
  return {
    look: (states, nowMs) => {
      const took = perPool<number[]>(() => []);
      for (const pool of poolNames) {
        const last = before?.[pool];
        const { wanted, ready } = states[pool];
        if (last === undefined) continue;
        for (let n = last.wanted; n < wanted && pending[pool].length < mostPending; n++) {
          pending[pool].push(nowMs);
        }
        for (let n = last.ready; n < ready; n++) {
          const since = pending[pool].shift();
          if (since !== undefined && nowMs > since) took[pool].push(nowMs - since);
        }
        // Nobody is waited for any more: those that were given up, or restarts that were taken for starts.
        if (ready >= wanted) pending[pool] = [];
      }
      before = states;
      return took;
    },
  };
}
