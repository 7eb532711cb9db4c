/**
 * Every value that spec.replicas of a namespace's workloads takes, seen through watches of the test's own: who
 * changed what when, and the GPUs that are asked for at each moment. Goes on after outages of the API server.
 */
import type { Kube, KubeObject, Watching } from "./kube.js";
import { gpusOf } from "./workloads.js";

export interface ReplicaChange {
  /** `Deployment/covote-grm-worker` */
  readonly workload: string;
  readonly from: number;
  readonly to: number;
  readonly atMs: number;
  /** GPUs that all workloads together ask for after it. */
  readonly gpus: number;
}

export interface ReplicaHistory {
  readonly changes: readonly ReplicaChange[];
  replicas(): Record<string, number>;
  gpus(): number;
  /** The most that was ever asked for since the beginning. */
  mostGpus(): number;
  stop(): void;
}

interface Seen {
  replicas: number;
  gpusPerPod: number;
}

export async function watchReplicas(kube: Kube, namespace: string): Promise<ReplicaHistory> {
  const changes: ReplicaChange[] = [];
  const seen = new Map<string, Seen>();
  const watches = new Set<Watching>();
  let stopped = false;
  let most = 0;
  const gpus = (): number =>
    [...seen.values()].reduce((sum, { replicas, gpusPerPod }) => sum + replicas * gpusPerPod, 0);

  const see = (kind: string, object: KubeObject, quiet: boolean): void => {
    const workload = `${kind}/${object.metadata.name}`;
    const replicas = object.spec.replicas as number;
    const before = seen.get(workload)?.replicas;
    seen.set(workload, {
      replicas,
      gpusPerPod: gpusOf({ metadata: { name: "" }, spec: object.spec.template.spec }),
    });
    const now = gpus();
    if (!quiet) most = Math.max(most, now);
    if (before !== undefined && before !== replicas) {
      changes.push({ workload, from: before, to: replicas, atMs: performance.now(), gpus: now });
    }
  };
  const follow = async (kind: string, resource: string): Promise<void> => {
    const path = `/apis/apps/v1/namespaces/${namespace}/${resource}`;
    const list = await kube.get<{ metadata: { resourceVersion: string }; items: KubeObject[] }>(path);
    for (const item of list.items) see(kind, item, true);
    let watching: Watching | null = null;
    const opened = await kube.watch(
      path,
      ({ type, object }) => {
        if (type === "DELETED") seen.delete(`${kind}/${object.metadata.name}`);
        if (type === "ADDED" || type === "MODIFIED") see(kind, object, false);
        // Too old: listed again.
        if (type === "ERROR") watching?.stop();
      },
      list.metadata.resourceVersion,
    );
    watching = opened;
    watches.add(opened);
    void opened.ended.then(async () => {
      watches.delete(opened);
      while (!stopped) {
        try {
          return await follow(kind, resource);
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 250));
        }
      }
    });
  };
  await follow("Deployment", "deployments");
  await follow("StatefulSet", "statefulsets");
  most = gpus();
  return {
    changes,
    replicas: () => Object.fromEntries([...seen].map(([workload, { replicas }]) => [workload, replicas])),
    gpus,
    mostGpus: () => most,
    stop: () => {
      stopped = true;
      for (const watching of watches) watching.stop();
    },
  };
}
