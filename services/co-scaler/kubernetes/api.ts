/**
 * The few things that a co-scaler asks a Kubernetes API server for, over the official client.
 *
 * - Every call has a time limit; reads are consistent ones, never from a cache and never from a watch that may be old.
 * - Writes name the version that they change: one that is not the newest is refused (`failed_precondition`).
 * - What the server refuses is one line that names the object and the fix: missing rights, unknown workloads.
 */
import type {
  KubeConfig,
  RequestContext,
  ResponseContext,
  V1Lease,
  V1Pod,
  V1Scale,
} from "@kubernetes/client-node";
import { CovoteError } from "../../../lib/core/errors.js";
import { type Asked, kubernetesError } from "./errors.js";

export interface Workload {
  kind: "Deployment" | "StatefulSet";
  name: string;
  /** The setting that names it. */
  field: string;
}

export interface Scale {
  /** Asked for. */
  replicas: number;
  /** Label selector of its pods. */
  selector: string;
  resourceVersion: string;
}

export interface Pod {
  name: string;
  ready: boolean;
  /** Told to end; it holds its GPUs until it is gone. */
  terminating: boolean;
  createdAtMs: number;
  deletionCost: number | null;
}

export interface Lease {
  /** Empty: nobody. */
  holder: string;
  leaseMs: number;
  transitions: number;
  /** When its holder got it; null: not said. */
  acquiredAt: Date | null;
  resourceVersion: string;
}

/** `acquiredAt` null: now. */
export type LeaseTerms = Pick<Lease, "holder" | "leaseMs" | "transitions" | "acquiredAt">;

export interface KubernetesApi {
  readonly namespace: string;
  readonly server: string;
  readScale(workload: Workload): Promise<Scale>;
  replaceScale(workload: Workload, scale: Scale, replicas: number): Promise<void>;
  /** Those that are not over. */
  listPods(selector: string): Promise<Pod[]>;
  /** Null takes it away. */
  setDeletionCost(pod: string, cost: number | null): Promise<void>;
  readLease(name: string): Promise<Lease | null>;
  /** Fails with `failed_precondition` when there is one. */
  createLease(name: string, holder: string, leaseMs: number): Promise<void>;
  replaceLease(name: string, lease: Lease, next: LeaseTerms): Promise<void>;
}

export interface KubernetesApiOptions {
  /** Kubeconfig file; null: the pod's service account, or the user's own configuration. */
  kubeconfig: string | null;
  /** Null: that of the pod or of the kubeconfig. */
  namespace: string | null;
  timeoutMs: number;
}

export const deletionCost = "controller.kubernetes.io/pod-deletion-cost";
const podsPerPage = 500;
/** What the client falls back to when it has found no configuration. */
const nowhere = "http://localhost:8080";

/** Throws `failed_precondition` when no cluster is configured. */
export async function openKubernetesApi(options: KubernetesApiOptions): Promise<KubernetesApi> {
  // Loaded here, since nobody else needs it: it takes half a second and 60 MB.
  const k8s = await import("@kubernetes/client-node");
  const config = new k8s.KubeConfig();
  loadInto(config, options.kubeconfig);
  const server = config.getCurrentCluster()?.server ?? nowhere;
  if (options.kubeconfig === null && server === nowhere) {
    throw new CovoteError(
      "failed_precondition",
      "scaling.kubernetes.kubeconfig: there is no Kubernetes here: no service account, no KUBECONFIG, no ~/.kube/config; give a file",
      { field: "scaling.kubernetes.kubeconfig" },
    );
  }
  const namespace =
    options.namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? "default";
  const configuration = k8s.createConfiguration({
    baseServer: new k8s.ServerConfiguration(server, {}),
    authMethods: { default: config },
    promiseMiddleware: [
      {
        pre: (request: RequestContext) => {
          request.setSignal(AbortSignal.timeout(options.timeoutMs));
          if (request.getHttpMethod() === "PATCH") {
            request.setHeaderParam("Content-Type", "application/merge-patch+json");
          }
          return Promise.resolve(request);
        },
        post: (response: ResponseContext) => Promise.resolve(response),
      },
    ],
  });
  const apps = new k8s.AppsV1Api(configuration);
  const core = new k8s.CoreV1Api(configuration);
  const coordination = new k8s.CoordinationV1Api(configuration);

  const call = async <T>(what: Asked, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      throw kubernetesError(thrown, { ...what, namespace, server, timeoutMs: options.timeoutMs });
    }
  };
  const asked = (verb: string, resource: string, name: string, missing?: string): Asked => ({
    ...{ verb, resource, name },
    ...(missing === undefined ? {} : { missing }),
  });
  const scaleOf = (verb: string, { kind, name, field }: Workload): Asked =>
    asked(
      verb,
      `${kind.toLowerCase()}s/scale`,
      name,
      `${field}: there is no ${kind} ${name} in namespace ${namespace}; name the pool's workload, or set max to 0`,
    );

  return {
    namespace,
    server,
    readScale: async (workload) => {
      const { kind, name } = workload;
      const scale = await call(scaleOf("get", workload), () =>
        kind === "Deployment"
          ? apps.readNamespacedDeploymentScale({ name, namespace })
          : apps.readNamespacedStatefulSetScale({ name, namespace }),
      );
      return toScale(scale, workload);
    },
    replaceScale: async (workload, { resourceVersion }, replicas) => {
      const { kind, name } = workload;
      const body: V1Scale = {
        apiVersion: "autoscaling/v1",
        kind: "Scale",
        metadata: { name, namespace, resourceVersion },
        spec: { replicas },
      };
      await call(scaleOf("update", workload), () =>
        kind === "Deployment"
          ? apps.replaceNamespacedDeploymentScale({ name, namespace, body })
          : apps.replaceNamespacedStatefulSetScale({ name, namespace, body }),
      );
    },
    listPods: async (labelSelector) => {
      const pods: V1Pod[] = [];
      let _continue: string | undefined;
      do {
        const page = { namespace, labelSelector, limit: podsPerPage, ...(_continue && { _continue }) };
        const list = await call(asked("list", "pods", labelSelector), () => core.listNamespacedPod(page));
        pods.push(...list.items);
        _continue = list.metadata?._continue || undefined;
      } while (_continue !== undefined);
      return pods
        .filter(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed")
        .map(toPod);
    },
    setDeletionCost: async (name, cost) => {
      const body = { metadata: { annotations: { [deletionCost]: cost === null ? null : String(cost) } } };
      await call(asked("patch", "pods", name), () => core.patchNamespacedPod({ name, namespace, body }));
    },
    readLease: async (name) => {
      try {
        return toLease(
          await call(asked("get", "leases", name), () =>
            coordination.readNamespacedLease({ name, namespace }),
          ),
        );
      } catch (thrown) {
        if (CovoteError.from(thrown).code === "not_found") return null;
        throw thrown;
      }
    },
    createLease: async (name, holder, leaseMs) => {
      const body = leaseBody({ holder, leaseMs, transitions: 0, acquiredAt: null });
      await call(asked("create", "leases", name), () =>
        coordination.createNamespacedLease({ namespace, body: { ...body, metadata: { name, namespace } } }),
      );
    },
    replaceLease: async (name, { resourceVersion }, next) => {
      const body = leaseBody(next);
      await call(asked("update", "leases", name), () =>
        coordination.replaceNamespacedLease({
          name,
          namespace,
          body: { ...body, metadata: { name, namespace, resourceVersion } },
        }),
      );
    },
  };

  function leaseBody({ holder, leaseMs, transitions, acquiredAt }: LeaseTerms): V1Lease {
    const now = new k8s.V1MicroTime();
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      spec: {
        holderIdentity: holder,
        // Whole seconds, rounded up: nobody takes over too early.
        leaseDurationSeconds: Math.max(1, Math.ceil(leaseMs / 1000)),
        leaseTransitions: transitions,
        renewTime: now,
        acquireTime: acquiredAt === null ? now : new k8s.V1MicroTime(acquiredAt),
      },
    };
  }
}

function loadInto(config: KubeConfig, file: string | null): void {
  try {
    if (file === null) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CovoteError("invalid_argument", `scaling.kubernetes.kubeconfig: cannot be read: ${why}`, {
      field: "scaling.kubernetes.kubeconfig",
      cause,
    });
  }
}

function toScale({ spec, status, metadata }: V1Scale, workload: Workload): Scale {
  const selector = status?.selector ?? "";
  const resourceVersion = metadata?.resourceVersion ?? "";
  if (selector === "" || resourceVersion === "") {
    // Without a selector every pod of the namespace would be taken for the pool's.
    throw new CovoteError("unavailable", `${workload.kind} ${workload.name}: its scale names no pods yet`);
  }
  // The server leaves out a zero.
  return { replicas: spec?.replicas ?? 0, selector, resourceVersion };
}

function toPod({ metadata, status }: V1Pod): Pod {
  const cost = Number(metadata?.annotations?.[deletionCost] ?? Number.NaN);
  return {
    name: metadata?.name ?? "",
    ready: status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false,
    terminating: metadata?.deletionTimestamp !== undefined,
    createdAtMs: metadata?.creationTimestamp?.getTime() ?? 0,
    deletionCost: Number.isFinite(cost) ? cost : null,
  };
}

function toLease({ metadata, spec }: V1Lease): Lease {
  return {
    holder: spec?.holderIdentity ?? "",
    leaseMs: (spec?.leaseDurationSeconds ?? 0) * 1000,
    transitions: spec?.leaseTransitions ?? 0,
    acquiredAt: spec?.acquireTime ?? null,
    resourceVersion: metadata?.resourceVersion ?? "",
  };
}
