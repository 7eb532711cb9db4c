/**
 * Which pods of a Deployment go first when it shrinks, said by the annotation pod-deletion-cost: those that do the least,
 * of equals the youngest. Pods that are not ready go before all others anyway. Pure.
 */
import type { HostLoad } from "../../../lib/runtime/load-book.js";
import type { Pod } from "./api.js";

export interface Marks {
  /** Annotations to be written; null takes one away. */
  costs: { pod: string; cost: number | null }[];
}

/** Below every pod that nobody has marked, whose cost counts as 0. */
const lowest = -1000;

export function markVictims(pods: readonly Pod[], loads: readonly HostLoad[], count: number): Marks {
  const busy = new Map(loads.map(({ host, running, waiting }) => [host, running + waiting]));
  const alive = pods.filter(({ terminating }) => !terminating);
  const unready = alive.filter(({ ready }) => !ready).length;
  const ranked = alive
    .filter(({ ready }) => ready)
    // Who tells nothing does nothing that anybody would miss.
    .map((pod) => ({ pod, busy: busy.get(pod.name) ?? 0 }))
    .sort(
      (a, b) =>
        a.busy - b.busy || b.pod.createdAtMs - a.pod.createdAtMs || (a.pod.name < b.pod.name ? -1 : 1),
    )
    .map(({ pod }) => pod);
  const victims = ranked.slice(0, Math.max(0, count - unready));
  const costs = [
    ...victims.map((pod, rank) => ({ pod: pod.name, cost: lowest + rank, was: pod.deletionCost })),
    ...ranked
      .slice(victims.length)
      .filter(({ deletionCost }) => deletionCost !== null && deletionCost < 0)
      .map((pod) => ({ pod: pod.name, cost: null, was: pod.deletionCost })),
  ];
  return { costs: costs.filter(({ cost, was }) => cost !== was).map(({ pod, cost }) => ({ pod, cost })) };
}
