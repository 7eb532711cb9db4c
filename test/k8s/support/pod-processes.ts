/**
 * Processes of this machine that stand for pods, as a kubelet would run them.
 *
 * A process is started when its pod runs, gets SIGTERM when the pod is deleted or evicted, and SIGKILL when the
 * pod's grace period is over. Until it has ended a finalizer holds the pod, so that its GPU is not free before.
 */
import { join } from "node:path";
import { type Daemon, startDaemon } from "./daemon.js";
import { type Kube, KubeError, type KubeObject, type Watching } from "./kube.js";
import { paths } from "./workloads.js";

export interface PodProcess {
  readonly pod: string;
  readonly daemon: Daemon;
  /** Set when the pod was told to end. */
  stoppedAtMs: number | null;
  /** Of the process, once it has ended: its code (null after a signal) and how long it took from SIGTERM on. */
  end: { code: number | null; afterMs: number; killed: boolean } | null;
}

export interface PodProcesses extends AsyncDisposable {
  /** By the name of the pod; ended ones stay. */
  readonly all: ReadonlyMap<string, PodProcess>;
  living(): PodProcess[];
}

export interface PodProcessesOptions {
  kube: Kube;
  namespace: string;
  /** Label selector of the pods. */
  selector: string;
  logDir: string;
  command: (pod: KubeObject) => { command: string; args: readonly string[] };
}

const finalizer = "covote.test/process";

export async function runPodProcesses(options: PodProcessesOptions): Promise<PodProcesses> {
  const { kube, namespace, selector, logDir } = options;
  const all = new Map<string, PodProcess>();
  const pending = new Set<Promise<void>>();
  let stopped = false;

  const hold = (pod: KubeObject, held: boolean): Promise<void> =>
    retried(async () => {
      const path = paths.pod(namespace, pod.metadata.name);
      const { metadata } = await kube.get(path);
      const others = (metadata.finalizers ?? []).filter((name) => name !== finalizer);
      const { resourceVersion } = metadata;
      const finalizers = held ? [...others, finalizer] : others;
      await kube.merge(path, { metadata: { resourceVersion, finalizers } });
    });

  const start = async (pod: KubeObject): Promise<void> => {
    const { name } = pod.metadata;
    const daemon = startDaemon({ name, logFile: join(logDir, `${name}.log`), ...options.command(pod) });
    const process: PodProcess = { pod: name, daemon, stoppedAtMs: null, end: null };
    all.set(name, process);
    await hold(pod, true);
  };
  const end = async (pod: KubeObject, process: PodProcess): Promise<void> => {
    const startedAt = performance.now();
    process.stoppedAtMs = startedAt;
    const graceMs = 1000 * (pod.spec.terminationGracePeriodSeconds ?? 30);
    let killed = false;
    const force = setTimeout(() => {
      killed = true;
      void process.daemon.kill("SIGKILL");
    }, graceMs);
    await process.daemon.kill("SIGTERM");
    clearTimeout(force);
    process.end = { code: await process.daemon.ended(), afterMs: performance.now() - startedAt, killed };
    if (!stopped) await hold(pod, false);
  };
  const see = (pod: KubeObject): void => {
    const process = all.get(pod.metadata.name);
    const { deletionTimestamp } = pod.metadata;
    const work =
      process === undefined && deletionTimestamp === undefined && pod.status?.phase === "Running"
        ? start(pod)
        : process !== undefined && deletionTimestamp !== undefined && process.stoppedAtMs === null
          ? end(pod, process)
          : undefined;
    if (work === undefined) return;
    const tracked = work
      .catch((error: unknown) => {
        if (!stopped) console.error(`pod ${pod.metadata.name}: ${error}`);
      })
      .finally(() => pending.delete(tracked));
    pending.add(tracked);
  };

  const path = paths.pods(namespace, selector);
  let watching: Watching;
  const follow = async (): Promise<void> => {
    watching = await kube.watch(path, ({ type, object }) => {
      if (type === "ADDED" || type === "MODIFIED" || type === "DELETED") see(object);
    });
    // The API server may go away for a while, as it does for a kubelet.
    void watching.ended.then(async () => {
      while (!stopped) {
        try {
          return await follow();
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 250));
        }
      }
    });
  };
  await follow();

  return {
    all,
    living: () => [...all.values()].filter((process) => process.daemon.running()),
    [Symbol.asyncDispose]: async () => {
      stopped = true;
      watching.stop();
      await Promise.allSettled(pending);
      await Promise.all([...all.values()].map(({ daemon }) => daemon.stop(1000)));
    },
  };
}

/** Others write to a pod too. A pod that is gone needs nothing. */
async function retried(write: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return;
      // 422: a finalizer cannot be added to a pod that is being deleted.
      if (error instanceof KubeError && error.status === 422) return;
      if (attempt >= 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
