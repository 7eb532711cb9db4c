/**
 * The real co-scaler on a real API server, with no other rights than the chart gives it. One story in order: replicas
 * move with the load, and whatever fails meanwhile, no move is wrong, none is made twice, and no moment has more GPUs
 * than the budget.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { NatsBus } from "../../lib/bus/open-bus.js";
import { systemClock } from "../../lib/core/clock.js";
import { packagePath } from "../../lib/core/package-root.js";
import type { ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";
import { scalingDecisionCodec } from "../../lib/wire/messages.js";
import { startNats, type TestNats } from "../support/nats.js";
import { type CoScalers, leaseMs, runCoScalers } from "./support/co-scalers.js";
import {
  type ControlPlane,
  createNamespace,
  createNodes,
  startControlPlane,
} from "./support/control-plane.js";
import { startDaemon } from "./support/daemon.js";
import { installCovote } from "./support/helm.js";
import { eventually } from "./support/kube.js";
import type { PodProcess } from "./support/pod-processes.js";
import { type ReplicaHistory, watchReplicas } from "./support/replica-history.js";
import { type SimulatedLoad, startSimulatedLoad } from "./support/simulated-load.js";
import { isReady, paths } from "./support/workloads.js";

const namespace = "covote";
const budget = 8;
const policy = "Deployment/covote-policy-sampler";
const grm = "Deployment/covote-grm-worker";
const metaRm = "Deployment/covote-meta-rm";
/** Seven replicas of policy and GRM: the best splits are 4 to 3 and 2 to 5. */
const shortVotes = 600;
const longVotes = 2000;
const moveMs = 240_000;

let plane: ControlPlane;
let nats: TestNats;
let bus: NatsBus;
let load: SimulatedLoad;
let scalers: CoScalers;
let history: ReplicaHistory;
const decisions: ScalingDecision[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  nats = await startNats();
  const { kube } = plane;
  await createNodes(kube, { count: 2, gpus: 4 });
  await createNodes(kube, { count: 2, gpus: 0 });
  await createNamespace(kube, namespace);
  const args = ["--set", "grpoLearner.enabled=false"];
  await installCovote(plane, { namespace, natsUrl: nats.url, args });
  const pods = () => kube.list(paths.pods(namespace));
  await eventually("all pods run", pods, (seen) => seen.length === 13 && seen.every(isReady), 120_000);
  history = await watchReplicas(kube, namespace);
  bus = await nats.bus({ cluster: "covote", name: "test" });
  bus.subscribe(bus.subjects.events("scaling"), {}, (data) => {
    decisions.push(scalingDecisionCodec.decode(data));
  });
  const pipeline = { tokensPerResponse: 800, tokensPerVote: shortVotes, votes: 4, panel: 4 };
  load = await startSimulatedLoad({ kube, bus, clock: systemClock() }, { namespace, pipeline });
  scalers = await runCoScalers(plane, { namespace, natsUrl: nats.url });
});
afterAll(async () => {
  history?.stop();
  await scalers?.[Symbol.asyncDispose]();
  await load?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

afterEach(() => {
  // Always, whatever failed meanwhile.
  expect(history.mostGpus()).toBeLessThanOrEqual(budget);
  for (const { to } of history.changes) expect(to).toBeGreaterThanOrEqual(1);
});

const split = (): string => {
  const replicas = history.replicas();
  return [policy, grm, metaRm].map((workload) => replicas[workload]).join("/");
};
/** The pod whose co-scaler holds the lease. */
async function leader(): Promise<PodProcess> {
  const lease = await eventually(
    "somebody leads",
    () => plane.kube.get(`${paths.leases(namespace)}/covote-co-scaler`),
    ({ spec }) => [...scalers.pods.all.keys()].some((pod) => spec.holderIdentity?.startsWith(`${pod}_`)),
  );
  return [...scalers.pods.all.values()].find(({ pod }) => lease.spec.holderIdentity.startsWith(`${pod}_`))!;
}
/** Decisions from now on. */
function mark(): () => ScalingDecision[] {
  const from = decisions.length;
  return () => decisions.slice(from);
}
/** Changes since `from`: every replica was taken or given once, and none was taken back. */
function expectOneWay(from: number, steps: Record<string, number>): void {
  const made = history.changes.slice(from);
  const sums: Record<string, number> = {};
  for (const { workload, from: before, to } of made) {
    expect(Math.sign(to - before), `${workload} ${before} → ${to}`).toBe(Math.sign(steps[workload] ?? 0));
    sums[workload] = (sums[workload] ?? 0) + to - before;
  }
  expect(sums).toEqual(steps);
}
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
function report(what: string): void {
  const began = history.changes[0]?.atMs ?? 0;
  const moves = history.changes.map(
    ({ workload, from, to, atMs, gpus }) =>
      `${Math.round((atMs - began) / 1000)}s ${workload.slice("Deployment/covote-".length)} ${from}→${to} (${gpus} GPUs)`,
  );
  console.log(
    `${what}: split ${split()}, most GPUs at any moment ${history.mostGpus()}; ${moves.join(", ")}`,
  );
}

test("it leads with the chart's rights alone, measures, and holds a split that fits", async () => {
  const { pod } = await leader();
  const since = mark();
  await eventually(
    "it knows what a step takes",
    () => since().at(-1),
    (last) => last?.now !== undefined,
    120_000,
  );
  expect(since().at(-1)).toMatchObject({ problem: "", budgetGpus: budget, actuator: "kubernetes" });
  const ten = mark();
  await eventually("ten more decisions", ten, (seen) => seen.length >= 10);
  expect(history.changes).toEqual([]);
  expect(new Set(decisions.map(({ decidedBy }) => decidedBy))).toEqual(new Set([pod]));
  expect(decisions.filter(({ problem }) => problem !== "")).toEqual([]);
});

test("votes grow longer: replicas move from policy to GRM; the leader is killed between, and nothing moves twice", async () => {
  load.pipeline.tokensPerVote = longVotes;
  await eventually(
    "the first replica goes",
    () => history.changes.length,
    (count) => count > 0,
    moveMs,
  );
  const first = await leader();
  await first.daemon.kill("SIGKILL");
  const killedAt = performance.now();
  const since = mark();
  await eventually("another one decides", since, (seen) =>
    seen.some(({ decidedBy }) => decidedBy !== first.pod),
  );
  const tookMs = performance.now() - killedAt;
  expect(tookMs).toBeGreaterThan(leaseMs / 2);
  await eventually("the new split", split, (now) => now === "2/5/1", moveMs);
  expectOneWay(0, { [policy]: -2, [grm]: 2 });
  report(`leader killed, followed after ${Math.round(tookMs)} ms`);
  // As a kubelet would.
  first.daemon.start();
});

test("the API server is away for a minute while votes grow shorter: no wrong move, and then back to the first split", async () => {
  const before = history.changes.length;
  await plane.apiServer.kill("SIGKILL");
  const since = mark();
  load.pipeline.tokensPerVote = shortVotes;
  await sleep(60_000);
  for (const { daemon } of scalers.pods.all.values()) expect(daemon.running()).toBe(true);
  // Who cannot renew the lease does not lead, and decides nothing.
  expect(since().filter(({ actions }) => actions.some(({ outcome }) => outcome === "scaled"))).toEqual([]);
  await plane.startApiServer();
  await eventually("the split of the beginning", split, (now) => now === "4/3/1", moveMs);
  expectOneWay(before, { [policy]: 2, [grm]: -2 });
  report("API server away");
});

test("an API server that fails, is too slow, or falls silent: it holds and says so, and goes on", async () => {
  const before = history.changes.length;
  const says = {
    errors: /the API server failed \(500\): etcdserver: no leader/,
    slow: /is not reached \(no answer within 2000 ms\)/,
    silent: /is not reached \(no answer within 2000 ms\)/,
    down: /is not reached \(/,
  };
  for (const trouble of [
    { t: "errors", status: 500 },
    { t: "slow", ms: 5000 },
    { t: "silent" },
    { t: "down" },
  ] as const) {
    const { daemon } = await leader();
    const told = daemon.log().length;
    const since = mark();
    for (const proxy of scalers.proxies.values()) proxy.trouble(trouble);
    await eventually(
      `${trouble.t}: it says so`,
      () => daemon.log().slice(told),
      (log) => says[trouble.t].test(log),
    );
    await sleep(2 * leaseMs);
    expect(since().flatMap(({ actions }) => actions)).toEqual([]);
    for (const proxy of scalers.proxies.values()) proxy.trouble({ t: "none" });
    const after = mark();
    await eventually(`${trouble.t}: it goes on`, after, (seen) =>
      seen.some(({ problem, now }) => problem === "" && now !== undefined),
    );
  }
  expect(history.changes.length).toBe(before);
});

test("its rights are taken away: it names what is missing, holds, and goes on when it has them again", async () => {
  const before = history.changes.length;
  const path = `${paths.roleBindings(namespace)}/covote-co-scaler`;
  const binding = await plane.kube.get(path);
  const since = mark();
  await plane.kube.remove(path);
  const { daemon } = await leader();
  const told = (): string[] => [...since().map(({ problem }) => problem), ...daemon.log().split("\n")];
  await eventually(
    "it says so",
    () =>
      told().find((line) => /not allowed \(403\); give the co-scaler's service account the verb/.test(line)),
    (line) => line !== undefined,
  );
  load.pipeline.tokensPerVote = longVotes;
  await sleep(30_000);
  expect(history.changes.length).toBe(before);
  load.pipeline.tokensPerVote = shortVotes;
  const { name, labels } = binding.metadata;
  const { roleRef, subjects } = binding as unknown as Record<string, unknown>;
  await plane.kube.create(paths.roleBindings(namespace), { metadata: { name, labels }, roleRef, subjects });
  const after = mark();
  await eventually("it goes on", after, (seen) => seen.some(({ problem }) => problem === ""));
});

test("load reports vanish: the last split holds, and no pool goes towards zero", async () => {
  await eventually("the split of the beginning", split, (now) => now === "4/3/1", moveMs);
  const before = history.changes.length;
  const since = mark();
  load.silent(true);
  await eventually(
    "it says so",
    () => since().at(-1),
    (last) => last?.reason === "held" && /^metrics_/.test(last.blockedBy),
  );
  await sleep(20_000);
  expect(history.changes.length).toBe(before);
  load.silent(false);
  const after = mark();
  await eventually(
    "it goes on",
    () => after().at(-1),
    (last) => last?.reason === "balanced",
    120_000,
  );
});

test("a budget below the minimums, and a workload that is not there, are named", async () => {
  const main = packagePath("dist", "services", "co-scaler", "main.js");
  const start = (name: string, config: string) =>
    startDaemon({
      name,
      command: process.execPath,
      args: [main, "--config", config, "--id", name],
      logFile: join(scalers.dir, `${name}.log`),
    });
  const poor = start(
    "poor",
    scalers.writeConfig("poor", ({ scaling }) => {
      scaling.budgetGpus = 2;
    }),
  );
  expect(await poor.ended()).toBe(2);
  expect(poor.log()).toMatch(/scaling\.budgetGpus: must hold the pools' minimums, which take 3 GPUs, got 2/);

  const before = history.changes.length;
  await using lost = start(
    "lost",
    scalers.writeConfig("lost", ({ scaling }) => {
      scaling.pools.grm!.name = "covote-grm";
      // Alone on a lease that the chart's rights hold: the others make room.
      scaling.kubernetes.lease = "covote-co-scaler";
    }),
  );
  for (const { daemon } of scalers.pods.living()) await daemon.stop();
  // The chart's rights are on its own workloads alone, so whether there is another one it is not told.
  await eventually(
    "it names the workload that it may not see",
    () => lost.log(),
    (log) => /get deployments\/scale covote-grm in namespace covote: not allowed \(403\)/.test(log),
  );
  const name = "any-deployment";
  const apiGroup = "rbac.authorization.k8s.io";
  const rules = [{ apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["get"] }];
  await plane.kube.create(paths.roles(namespace), { metadata: { name }, rules });
  await plane.kube.create(paths.roleBindings(namespace), {
    metadata: { name },
    roleRef: { apiGroup, kind: "Role", name },
    subjects: [{ kind: "ServiceAccount", name: "covote-co-scaler", namespace }],
  });
  await eventually(
    "it names the workload that is not there",
    () => lost.log(),
    (log) => /scaling\.pools\.grm\.name: there is no Deployment covote-grm in namespace covote/.test(log),
  );
  await sleep(5000);
  expect(history.changes.length).toBe(before);
  report("the whole story");
});
