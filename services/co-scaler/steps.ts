/**
 * From what there is to what there should be, without ever holding more GPUs than the budget: pools shrink first, and a
 * pool grows by as many replicas as are free by then. A replica that starts or drains holds its GPUs. Pure.
 */
import { type PerPool, poolNames } from "../../lib/scaling/observation.js";
import type { PoolChange, PoolState } from "./actuator.js";

export interface Steps {
  /** To be done now, in this order. */
  changes: PoolChange[];
  /** What pools should get and cannot yet, since others hold the GPUs. */
  waits: PoolChange[];
}

export function nextSteps(
  states: PerPool<PoolState>,
  goal: PerPool<number>,
  gpusPerReplica: PerPool<number>,
  budgetGpus: number,
): Steps {
  const steps: Steps = { changes: [], waits: [] };
  let free = budgetGpus;
  for (const pool of poolNames) {
    const { wanted, present } = states[pool];
    free -= Math.max(present, wanted) * gpusPerReplica[pool];
    if (goal[pool] < wanted) steps.changes.push({ pool, from: wanted, to: goal[pool] });
  }
  for (const pool of poolNames) {
    const { wanted } = states[pool];
    if (goal[pool] <= wanted) continue;
    const room = Math.max(0, Math.floor(free / gpusPerReplica[pool]));
    const to = Math.min(goal[pool], wanted + room);
    free -= (to - wanted) * gpusPerReplica[pool];
    if (to > wanted) steps.changes.push({ pool, from: wanted, to });
    if (to < goal[pool]) steps.waits.push({ pool, from: to, to: goal[pool] });
  }
  return steps;
}
