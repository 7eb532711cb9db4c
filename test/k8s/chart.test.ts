/** The chart, installed by helm: every object is accepted, every pod finds its place. Nothing runs in the pods. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packagePath } from "../../lib/core/package-root.js";
import {
  type ControlPlane,
  createNamespace,
  createNodes,
  startControlPlane,
} from "./support/control-plane.js";
import { chartPath, helm, installCovote, valuesFile } from "./support/helm.js";
import { eventually, type KubeObject } from "./support/kube.js";
import { gpusOf, isReady, paths } from "./support/workloads.js";

const natsUrl = "nats://nats.example.svc:4222";
let plane: ControlPlane;

/** A volume for a learner's state; kwok makes none. */
async function createVolume(name: string): Promise<void> {
  await plane.kube.create("/api/v1/persistentvolumes", {
    metadata: { name },
    spec: {
      capacity: { storage: "10Gi" },
      accessModes: ["ReadWriteOnce"],
      hostPath: { path: `/var/${name}` },
    },
  });
}

function component(pod: KubeObject): string {
  return pod.metadata.labels?.["app.kubernetes.io/component"] ?? "";
}

function count(pods: readonly KubeObject[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const pod of pods) counts[component(pod)] = (counts[component(pod)] ?? 0) + 1;
  return counts;
}

/** The learner's Job counts once it has run: kwok ends the pods of Jobs at once. */
function runs(pod: KubeObject): boolean {
  return isReady(pod) || pod.status?.phase === "Succeeded";
}

describe("eight GPUs", () => {
  const namespace = "eight";
  const list = () => plane.kube.list(paths.pods(namespace));
  beforeAll(async () => {
    plane = await startControlPlane();
    await createNodes(plane.kube, { count: 2, gpus: 4 });
    await createNodes(plane.kube, { count: 2, gpus: 0 });
    await createVolume("state");
    await createNamespace(plane.kube, namespace);
    await installCovote(plane, { namespace, natsUrl });
  });
  afterAll(() => plane?.[Symbol.asyncDispose]());

  test("all pods run, those with an engine on the GPU nodes, the others elsewhere", async () => {
    const wanted = {
      "policy-sampler": 4,
      "grm-worker": 3,
      "meta-rm": 1,
      "vote-aggregator": 2,
      "co-scaler": 2,
      "nats-steward": 1,
      "grpo-learner": 1,
    };
    const pods = await eventually(
      "all pods run",
      list,
      (seen) => seen.length === 14 && seen.every(runs),
      120_000,
    );
    expect(count(pods)).toEqual(wanted);
    for (const pod of pods) {
      expect(pod.spec.nodeName, component(pod)).toMatch(gpusOf(pod) > 0 ? /^gpu-/ : /^cpu-/);
    }
    const perNode: Record<string, number> = {};
    for (const pod of pods) perNode[pod.spec.nodeName] = (perNode[pod.spec.nodeName] ?? 0) + gpusOf(pod);
    expect([perNode["gpu-0"], perNode["gpu-1"]]).toEqual([4, 4]);
  });

  test("one more than there are GPUs waits, and runs when one is free", async () => {
    const { kube } = plane;
    // Of the pool with the lowest priority: a pod of another one would take a GPU from it.
    await kube.merge(paths.scale(namespace, "covote-policy-sampler"), { spec: { replicas: 5 } });
    const policy = async () => (await list()).filter((pod) => component(pod) === "policy-sampler");
    const waiting = await eventually(
      "one waits",
      async () => (await policy()).filter((pod) => pod.spec.nodeName === undefined),
      (seen) => seen.length === 1 && seen[0]?.status?.conditions?.[0]?.reason === "Unschedulable",
    );
    expect(waiting[0]?.status.conditions[0].message).toMatch(/Insufficient nvidia.com\/gpu/);
    await kube.merge(paths.scale(namespace, "covote-grm-worker"), { spec: { replicas: 2 } });
    await eventually("it runs", policy, (seen) => seen.length === 5 && seen.every(isReady));
  });

  test("a reward pod that finds no GPU takes one from the policy", async () => {
    const { kube } = plane;
    await kube.merge(paths.scale(namespace, "covote-grm-worker"), { spec: { replicas: 3 } });
    const left = async () => {
      const pods = (await list()).filter((pod) => pod.spec.nodeName === undefined);
      return pods.map(component);
    };
    await eventually("a policy pod waits", left, (seen) => seen.join() === "policy-sampler");
    const ready = async () => count((await list()).filter(isReady));
    await eventually(
      "its GPU votes",
      ready,
      (seen) => seen["grm-worker"] === 3 && seen["policy-sampler"] === 4,
    );
    await kube.merge(paths.scale(namespace, "covote-policy-sampler"), { spec: { replicas: 4 } });
    await eventually("nobody waits", left, (seen) => seen.length === 0);
    await kube.merge(paths.scale(namespace, "covote-policy-sampler"), { spec: { replicas: 3 } });
    await eventually("a GPU is free", ready, (seen) => seen["policy-sampler"] === 3);
    await kube.merge(paths.scale(namespace, "covote-grm-worker"), { spec: { replicas: 4 } });
    await eventually("it is taken", ready, (seen) => seen["grm-worker"] === 4);
  });

  test("an upgrade keeps the split that it finds", async () => {
    const given = ["-n", namespace, "-f", valuesFile, "--set", `bus.url=${natsUrl}`];
    const { code, output } = await helm(plane, ["upgrade", "covote", chartPath, ...given]);
    expect(code, output).toBe(0);
    const replicas = async (name: string) =>
      (await plane.kube.get(paths.scale(namespace, `covote-${name}`))).spec.replicas;
    expect([
      await replicas("policy-sampler"),
      await replicas("grm-worker"),
      await replicas("meta-rm"),
    ]).toEqual([3, 4, 1]);
  });

  test("every service has a disruption budget that the API server enforces", async () => {
    const budgets = await eventually(
      "the budgets are computed",
      () => plane.kube.list(paths.budgets(namespace)),
      (seen) => seen.length > 0 && seen.every(({ status }) => status?.observedGeneration === 1),
    );
    const grm = budgets.find(({ metadata }) => metadata.name === "covote-grm-worker");
    expect(grm?.status).toMatchObject({ expectedPods: 4, disruptionsAllowed: 1 });
  });

  test("removed again it leaves nothing but what was learned", async () => {
    const { code, output } = await helm(plane, ["uninstall", "covote", "-n", namespace]);
    expect(code, output).toBe(0);
    await eventually("no pods are left", list, (seen) => seen.length === 0);
    const claims = await plane.kube.list(`/api/v1/namespaces/${namespace}/persistentvolumeclaims`);
    expect(claims.map(({ metadata }) => metadata.name)).toEqual(["covote-grpo-learner"]);
    for (const path of [paths.roles(namespace), paths.roleBindings(namespace), paths.budgets(namespace)]) {
      expect(await plane.kube.list(path)).toEqual([]);
    }
  });

  test.each([
    ["an unknown key", ["--set", "grmWorker.replica=3"], /replica/],
    ["an unknown key of a service's engine", ["--set", "grmWorker.engine.gpu=2"], /gpu/],
    ["a value of the wrong type", ["--set-string", "grmWorker.replicas=many"], /grmWorker.*replicas/s],
    ["two ways to NATS", ["--set", "nats.enabled=true"], /bus\.url/],
    ["no meta RM, which judgments would wait for", ["--set", "metaRm.enabled=false"], /config\.metaRm\.keep/],
    ["a key that the chart decides", ["--set", "config.nats.url=nats://elsewhere:4222"], /config\.nats\.url/],
    ["a budget below the minimums", ["--set", "coScaler.budgetGpus=2"], /budgetGpus/],
    ["a minimum above its maximum", ["--set", "coScaler.pools.grm.min=7"], /pools\.grm/],
    ["a pool that could go to zero", ["--set", "coScaler.pools.grm.min=0"], /grm/],
  ])("refuses %s by name, and installs nothing", async (_what, args, named) => {
    const name = "refused";
    const given = [
      "-n",
      name,
      "--create-namespace",
      "-f",
      valuesFile,
      "--set",
      `bus.url=${natsUrl}`,
      ...args,
    ];
    const { code, output } = await helm(plane, ["install", "covote", chartPath, ...given]);
    expect(code, output).not.toBe(0);
    expect(output).toMatch(named);
    const { output: releases } = await helm(plane, ["list", "-n", name, "--all", "-q"]);
    expect(releases.trim()).toBe("");
  });
});

describe("256 GPUs", () => {
  const namespace = "many";
  beforeAll(async () => {
    plane = await startControlPlane();
    await createNodes(plane.kube, { count: 32, gpus: 8 });
    await createNodes(plane.kube, { count: 4, gpus: 0 });
    await createNamespace(plane.kube, namespace);
    // What helm/README.md asks for: weights that all pods share, and the runtime of the GPU nodes.
    await plane.kube.create("/apis/node.k8s.io/v1/runtimeclasses", {
      metadata: { name: "nvidia" },
      handler: "nvidia",
    });
    const access = { accessModes: ["ReadOnlyMany"], storageClassName: "models" };
    await plane.kube.create("/api/v1/persistentvolumes", {
      metadata: { name: "models" },
      spec: { ...access, capacity: { storage: "1Ti" }, hostPath: { path: "/var/models" } },
    });
    await plane.kube.create(`/api/v1/namespaces/${namespace}/persistentvolumeclaims`, {
      metadata: { name: "models" },
      spec: { ...access, resources: { requests: { storage: "1Ti" } } },
    });
  });
  afterAll(() => plane?.[Symbol.asyncDispose]());

  test("the values for 256 GPUs give every GPU to a pod, and no GPU to two", async () => {
    const off = ["podMonitor", "prometheusRule"].map((kind) => `monitoring.${kind}.enabled=false`);
    const values = [
      "-f",
      packagePath("helm", "values-256-gpus.yaml"),
      "-f",
      packagePath("test", "k8s", "values-256.yaml"),
    ];
    const args = ["-n", namespace, ...values, "--set", [...off, `bus.url=${natsUrl}`].join(",")];
    const { code, output } = await helm(plane, ["install", "covote", chartPath, ...args]);
    expect(code, output).toBe(0);
    const running = async () => (await plane.kube.list(paths.pods(namespace))).filter(isReady);
    const total = async () => (await running()).reduce((sum, pod) => sum + gpusOf(pod), 0);
    await eventually("all GPUs are taken", total, (gpus) => gpus === 256, 120_000);
    const pods = await running();
    const perNode: Record<string, number> = {};
    for (const pod of pods)
      if (gpusOf(pod) > 0) perNode[pod.spec.nodeName] = (perNode[pod.spec.nodeName] ?? 0) + gpusOf(pod);
    expect(Object.values(perNode)).toEqual(Array(32).fill(8));
  });
});
