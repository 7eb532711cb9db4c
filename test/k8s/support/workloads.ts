/** Plain workloads of the tests of the control plane itself: what the chart makes is the chart's. */
import type { KubeObject } from "./kube.js";

/** A pod that the restricted Pod Security Standard lets in; with `gpus`, one for nodes that have them. */
export function podSpec(options: { gpus?: number; graceS?: number } = {}): unknown {
  const { gpus = 0, graceS = 30 } = options;
  return {
    terminationGracePeriodSeconds: graceS,
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, runAsUser: 10_001, seccompProfile: { type: "RuntimeDefault" } },
    ...(gpus > 0
      ? { tolerations: [{ key: "nvidia.com/gpu", operator: "Exists", effect: "NoSchedule" }] }
      : {}),
    containers: [
      {
        name: "main",
        image: "example.invalid/nothing:1",
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        ...(gpus > 0 ? { resources: { limits: { "nvidia.com/gpu": `${gpus}` } } } : {}),
      },
    ],
  };
}

export function deployment(name: string, replicas: number, spec: unknown): unknown {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
}

export const paths = {
  deployments: (namespace: string) => `/apis/apps/v1/namespaces/${namespace}/deployments`,
  scale: (namespace: string, name: string) =>
    `/apis/apps/v1/namespaces/${namespace}/deployments/${name}/scale`,
  pods: (namespace: string, selector?: string) =>
    `/api/v1/namespaces/${namespace}/pods${selector === undefined ? "" : `?labelSelector=${encodeURIComponent(selector)}`}`,
  pod: (namespace: string, name: string) => `/api/v1/namespaces/${namespace}/pods/${name}`,
  eviction: (namespace: string, pod: string) => `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`,
  leases: (namespace: string) => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
  budgets: (namespace: string) => `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets`,
  roles: (namespace: string) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`,
  roleBindings: (namespace: string) =>
    `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`,
};

export function eviction(pod: KubeObject): unknown {
  const { name, namespace } = pod.metadata;
  return { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } };
}

export function isReady(pod: KubeObject): boolean {
  return (
    pod.metadata.deletionTimestamp === undefined &&
    (pod.status?.conditions ?? []).some(
      ({ type, status }: { type: string; status: string }) => type === "Ready" && status === "True",
    )
  );
}

/** GPUs that the pod's containers ask for. */
export function gpusOf(pod: KubeObject): number {
  const containers = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])];
  return containers.reduce(
    (sum, { resources }) => sum + Number(resources?.limits?.["nvidia.com/gpu"] ?? 0),
    0,
  );
}
