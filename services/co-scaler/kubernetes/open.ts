/** The Kubernetes actuator and its leadership, from the configuration. */
import { newId } from "../../../lib/core/ids.js";
import type { Logger } from "../../../lib/core/logger.js";
import type { Runtime } from "../../../lib/runtime/runtime.js";
import { perPool } from "../../../lib/scaling/observation.js";
import type { OpenedActuator } from "../service.js";
import { createKubernetesActuator } from "./actuator.js";
import { openKubernetesApi, type Workload } from "./api.js";
import { startElector } from "./elector.js";

export async function openKubernetes(runtime: Runtime, log: Logger): Promise<OpenedActuator> {
  const { clock, random, host } = runtime;
  const { pools, kubernetes } = runtime.config.scaling;
  const { kubeconfig, namespace, timeoutMs, leaseMs, renewMs, retryMs } = kubernetes;
  const api = await openKubernetesApi({ kubeconfig, namespace, timeoutMs });
  const workloads = perPool((pool): Workload | null => {
    const { kind, name, max } = pools[pool];
    return max === 0 ? null : { kind, name, field: `scaling.pools.${pool}.name` };
  });
  const leadership = startElector(
    { api, clock, random, log },
    { name: kubernetes.lease, identity: `${host.id}_${newId()}`, leaseMs, renewMs, retryMs },
  );
  return { actuator: createKubernetesActuator({ api, clock, log }, workloads), leadership };
}
