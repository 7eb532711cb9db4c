/**
 * Scales pools through the `scale` subresource of their Deployments and StatefulSets.
 *
 * - What is read is read from the API server in the same round; a pool of which that cannot be done stops the round.
 * - A change names the version that it was planned on. One that somebody else has made meanwhile stands.
 * - Before a Deployment shrinks, its least busy pods are marked to go first. A StatefulSet always loses its last ones.
 */
import type { Clock } from "../../../lib/core/clock.js";
import { CovoteError } from "../../../lib/core/errors.js";
import type { Logger } from "../../../lib/core/logger.js";
import type { HostLoad } from "../../../lib/runtime/load-book.js";
import { type PerPool, type PoolName, perPool, poolNames } from "../../../lib/scaling/observation.js";
import type { Actuator, PoolChange, PoolState } from "../actuator.js";
import type { KubernetesApi, Pod, Scale, Workload } from "./api.js";
import { markVictims } from "./victims.js";

interface Found {
  scale: Scale;
  pods: Pod[];
}

const absent: PoolState = { wanted: 0, ready: 0, present: 0 };

/** `workloads`: null for a pool that is not there. */
export function createKubernetesActuator(
  { api, clock, log }: { api: KubernetesApi; clock: Clock; log: Logger },
  workloads: PerPool<Workload | null>,
): Actuator {
  let found: Partial<Record<PoolName, Found>> = {};
  let notBefore = Number.NEGATIVE_INFINITY;

  const find = async (workload: Workload): Promise<Found> => {
    const scale = await api.readScale(workload);
    return { scale, pods: await api.listPods(scale.selector) };
  };

  const mark = async (pods: readonly Pod[], loads: readonly HostLoad[], count: number): Promise<void> => {
    try {
      const { costs } = markVictims(pods, loads, count);
      for (const { pod, cost } of costs) await api.setDeletionCost(pod, cost);
    } catch (error) {
      // The pool shrinks all the same; a busy pod that goes gives its work back.
      log.warn({ error }, "pods could not be marked to go first; Kubernetes chooses");
    }
  };

  return {
    name: "kubernetes",
    read: async () => {
      found = {};
      const waitMs = notBefore - clock.monotonic();
      if (waitMs > 0) {
        throw new CovoteError("overloaded", `Kubernetes asked to come back in ${Math.ceil(waitMs)} ms`);
      }
      try {
        const read = await Promise.all(
          poolNames.map(async (pool): Promise<[PoolName, Found | null]> => {
            const workload = workloads[pool];
            return [pool, workload === null ? null : await find(workload)];
          }),
        );
        for (const [pool, one] of read) if (one !== null) found[pool] = one;
      } catch (thrown) {
        const { retryAfterMs } = CovoteError.from(thrown);
        if (retryAfterMs !== undefined) notBefore = clock.monotonic() + retryAfterMs;
        throw thrown;
      }
      return perPool((pool) => stateOf(found[pool]));
    },
    apply: async ({ pool, from, to }: PoolChange, loads) => {
      const workload = workloads[pool];
      const known = found[pool];
      if (workload === null || known === undefined) {
        throw new CovoteError("internal", `${pool} is changed without having been read`);
      }
      if (to < from && workload.kind === "Deployment") await mark(known.pods, loads, from - to);
      try {
        await api.replaceScale(workload, known.scale, to);
      } catch (thrown) {
        if (CovoteError.from(thrown).code !== "failed_precondition") throw thrown;
        // Its status may have moved, which is a new version too; or somebody else has scaled it.
        const scale = await api.readScale(workload);
        if (scale.replicas !== from) {
          const text = `${workload.kind} ${workload.name}: somebody else has set ${scale.replicas} replicas meanwhile`;
          throw new CovoteError("failed_precondition", text);
        }
        await api.replaceScale(workload, scale, to);
      }
    },
    close: () => Promise.resolve(),
  };
}

function stateOf(found: Found | undefined): PoolState {
  if (found === undefined) return absent;
  const { scale, pods } = found;
  return {
    wanted: scale.replicas,
    ready: pods.filter(({ ready, terminating }) => ready && !terminating).length,
    present: pods.length,
  };
}
