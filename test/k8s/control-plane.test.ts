/** The control plane that the other tests stand on does what theirs rely on. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type ControlPlane,
  createNamespace,
  createNodes,
  refusal,
  startControlPlane,
} from "./support/control-plane.js";
import { createKube, eventually, type KubeObject, type WatchEvent } from "./support/kube.js";
import { deployment, eviction, gpusOf, isReady, paths, podSpec } from "./support/workloads.js";

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
  await createNodes(plane.kube, { count: 2, gpus: 4 });
  await createNodes(plane.kube, { count: 1, gpus: 0 });
});
afterAll(() => plane?.[Symbol.asyncDispose]());

test("pods go to nodes with a free GPU, the others wait, and those without a toleration go elsewhere", async () => {
  const { kube } = plane;
  await createNamespace(kube, "gpus");
  await kube.create(paths.deployments("gpus"), deployment("judges", 11, podSpec({ gpus: 1 })));
  await kube.create(paths.deployments("gpus"), deployment("plain", 3, podSpec()));
  const list = () => kube.list(paths.pods("gpus"));
  const judge = ({ metadata }: KubeObject) => metadata.labels?.app === "judges";
  const pods = await eventually(
    "all that can run runs",
    list,
    (seen) =>
      seen.filter(judge).filter(isReady).length === 8 &&
      seen.filter((pod) => !judge(pod)).filter(isReady).length === 3,
  );
  const perNode: Record<string, number> = {};
  for (const pod of pods.filter(isReady))
    perNode[pod.spec.nodeName] = (perNode[pod.spec.nodeName] ?? 0) + gpusOf(pod);
  expect(perNode).toEqual({ "gpu-0": 4, "gpu-1": 4, "cpu-0": 0 });
  const waiting = await eventually(
    "the others are told why",
    async () => (await list()).filter((pod) => judge(pod) && !isReady(pod)),
    (seen) =>
      seen.length === 3 && seen.every((pod) => pod.status?.conditions?.[0]?.reason === "Unschedulable"),
  );
  expect(waiting[0]?.status.conditions[0].message).toMatch(/Insufficient nvidia.com\/gpu/);
});

test("a pod that breaks the restricted Pod Security Standard is refused by name", async () => {
  const { kube } = plane;
  await createNamespace(kube, "restricted");
  const spec = { ...(podSpec() as Record<string, unknown>), securityContext: {} };
  const error = await refusal(
    kube.create(paths.pods("restricted"), {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "root" },
      spec,
    }),
  );
  expect(error.status).toBe(403);
  expect(error.message).toMatch(/runAsNonRoot/);
});

test("the scale subresource moves replicas, and a stale one is refused as a conflict", async () => {
  const { kube } = plane;
  await createNamespace(kube, "scale");
  await kube.create(paths.deployments("scale"), deployment("pool", 2, podSpec()));
  const before = await kube.get(paths.scale("scale", "pool"));
  expect(before.spec).toEqual({ replicas: 2 });
  await kube.replace(paths.scale("scale", "pool"), { ...before, spec: { replicas: 5 } });
  const error = await refusal(
    kube.replace(paths.scale("scale", "pool"), { ...before, spec: { replicas: 1 } }),
  );
  expect([error.status, error.reason]).toEqual([409, "Conflict"]);
  await eventually(
    "five are ready",
    () => kube.get(`${paths.deployments("scale")}/pool`),
    ({ status }) => status?.readyReplicas === 5,
  );
});

test("scaling in takes the pod with the lowest deletion cost", async () => {
  const { kube } = plane;
  await createNamespace(kube, "cost");
  await kube.create(paths.deployments("cost"), deployment("pool", 3, podSpec()));
  const pods = await eventually(
    "three are ready",
    async () => (await kube.list(paths.pods("cost"))).filter(isReady),
    (seen) => seen.length === 3,
  );
  const costs = [50, -10, 100];
  for (const [i, pod] of pods.entries()) {
    const annotations = { "controller.kubernetes.io/pod-deletion-cost": `${costs[i]}` };
    await kube.merge(paths.pod("cost", pod.metadata.name), { metadata: { annotations } });
  }
  await kube.merge(paths.scale("cost", "pool"), { spec: { replicas: 2 } });
  const left = await eventually(
    "two are left",
    () => kube.list(paths.pods("cost")),
    (seen) => seen.length === 2,
  );
  expect(left.map((pod) => pod.metadata.name).sort()).toEqual(
    [pods[0]?.metadata.name, pods[2]?.metadata.name].sort(),
  );
});

test("of two who take a lease at the same version one gets it, the other a conflict", async () => {
  const { kube } = plane;
  const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: "leader" } };
  const held = await kube.create(paths.leases("default"), { ...lease, spec: { holderIdentity: "nobody" } });
  const take = (holderIdentity: string) =>
    kube.replace(`${paths.leases("default")}/leader`, { ...held, spec: { holderIdentity } }).then(
      () => "taken",
      (error: { status: number }) => error.status,
    );
  const outcomes = await Promise.all([take("a"), take("b"), take("c")]);
  expect(outcomes.filter((outcome) => outcome === "taken")).toHaveLength(1);
  expect(outcomes.filter((outcome) => outcome === 409)).toHaveLength(2);
});

test("eviction waits for the disruption budget, and the pod is replaced", async () => {
  const { kube } = plane;
  await createNamespace(kube, "evict");
  await kube.create(paths.budgets("evict"), {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "pool" },
    spec: { minAvailable: 2, selector: { matchLabels: { app: "pool" } } },
  });
  await kube.create(paths.deployments("evict"), deployment("pool", 2, podSpec()));
  const ready = async () => (await kube.list(paths.pods("evict"))).filter(isReady);
  const [victim] = await eventually("two are ready", ready, (seen) => seen.length === 2);
  const evict = () => kube.create(paths.eviction("evict", victim!.metadata.name), eviction(victim!));
  expect((await refusal(evict())).status).toBe(429);

  await kube.merge(paths.scale("evict", "pool"), { spec: { replicas: 3 } });
  await eventually(
    "the budget allows one",
    () => kube.get(`${paths.budgets("evict")}/pool`),
    ({ status }) => status?.disruptionsAllowed === 1,
  );
  await evict();
  const now = await eventually("three are ready again", ready, (seen) => seen.length === 3);
  expect(now.map((pod) => pod.metadata.name)).not.toContain(victim!.metadata.name);
});

test("a service account may do what its role says, as long as the binding stands", async () => {
  const { kube, server } = plane;
  await createNamespace(kube, "rbac");
  await kube.create("/api/v1/namespaces/rbac/serviceaccounts", { metadata: { name: "scaler" } });
  await kube.create(paths.deployments("rbac"), deployment("pool", 1, podSpec()));
  await kube.create(paths.roles("rbac"), {
    metadata: { name: "scaler" },
    rules: [{ apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["get", "patch"] }],
  });
  const token = await plane.tokenOf("rbac", "scaler");
  const scaler = createKube({ server, ca: readFileSync(plane.caFile, "utf8"), token });
  const look = () => scaler.get(paths.scale("rbac", "pool"));
  expect((await refusal(look())).status).toBe(403);
  await kube.create(paths.roleBindings("rbac"), {
    metadata: { name: "scaler" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "scaler" },
    subjects: [{ kind: "ServiceAccount", name: "scaler", namespace: "rbac" }],
  });
  await eventually("the role works", look, ({ spec }) => spec.replicas === 1);
  expect((await refusal(scaler.list(paths.pods("rbac")))).status).toBe(403);
  await kube.remove(`${paths.roleBindings("rbac")}/scaler`);
  await eventually(
    "the role is gone",
    () => refusal(look()),
    ({ status }) => status === 403,
  );
});

test("the API server is killed and comes back with everything; who watched has to list again", async () => {
  const { kube } = plane;
  await createNamespace(kube, "outage");
  const created = await kube.create(paths.deployments("outage"), deployment("pool", 1, podSpec()));
  const watching = await kube.watch(paths.deployments("outage"), () => undefined);
  await plane.apiServer.kill("SIGKILL");
  await watching.ended;
  await expect(kube.get(`${paths.deployments("outage")}/pool`)).rejects.toThrow(/ECONNREFUSED/);
  await plane.startApiServer();

  // What it knew of the past it has forgotten: an old version is gone, for a watch that was there a moment ago, too.
  const old: WatchEvent[] = [];
  const event = (seen: WatchEvent) => old.push(seen);
  const stale = await kube.watch(paths.deployments("outage"), event, created.metadata.resourceVersion);
  const first = await eventually(
    "it is told",
    () => old[0],
    (seen) => seen !== undefined,
  );
  expect([first?.type, (first?.object as { code?: number } | undefined)?.code]).toEqual(["ERROR", 410]);
  stale.stop();

  const list = await kube.get(paths.deployments("outage"));
  const seen: WatchEvent[] = [];
  const again = await kube.watch(
    paths.deployments("outage"),
    (change) => seen.push(change),
    list.metadata.resourceVersion,
  );
  await kube.merge(paths.scale("outage", "pool"), { spec: { replicas: 2 } });
  await eventually(
    "the change is seen",
    () => seen.at(-1),
    (last) => last?.object.spec.replicas === 2 && last.object.status.readyReplicas === 2,
  );
  again.stop();
});
