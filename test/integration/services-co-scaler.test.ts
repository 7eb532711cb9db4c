import { credentials } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import type { NatsBus } from "../../lib/bus/open-bus.js";
import { type Clock, systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createRandom } from "../../lib/core/random.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { createGrpcServer } from "../../lib/host/grpc.js";
import { createHealth } from "../../lib/host/health.js";
import { formatAddress } from "../../lib/host/listen.js";
import { createMetrics } from "../../lib/host/metrics.js";
import type { LoadWatch } from "../../lib/runtime/load-watch.js";
import { readHistory } from "../../lib/runtime/scaling-history.js";
import { type PoolName, perPool } from "../../lib/scaling/observation.js";
import type { ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";
import { ExternalScalerClient } from "../../lib/wire/gen/keda/externalscaler/externalscaler.js";
import { loadReportCodec, scalingDecisionCodec } from "../../lib/wire/messages.js";
import { soleLeader } from "../../services/co-scaler/actuator.js";
import { scalingEvents } from "../../services/co-scaler/decisions.js";
import { createKedaActuator, externalScaler, type KedaActuator } from "../../services/co-scaler/keda.js";
import { createKubernetesActuator } from "../../services/co-scaler/kubernetes/actuator.js";
import { openKubernetesApi } from "../../services/co-scaler/kubernetes/api.js";
import { startElector } from "../../services/co-scaler/kubernetes/elector.js";
import { coScalerOptions } from "../../services/co-scaler/options.js";
import { type CoScaler, type OpenedActuator, startCoScaler } from "../../services/co-scaler/service.js";
import { type FakeKubernetes, startFakeKubernetes } from "../support/fake-kubernetes.js";
import { idle, loadReport } from "../support/load-reports.js";
import { freshCluster, startNats } from "../support/nats.js";
import { until } from "../support/reward-cluster.js";

const clock = systemClock();
const workloads = { policy: "policy-sampler", grm: "grm-worker", metaRm: "meta-rm" } as const;

const config = (over: Record<string, unknown> = {}) =>
  compileCovoteConfig({
    overrides: {
      "scaling.budgetGpus": 8,
      "scaling.intervalMs": 600_000,
      "scaling.responsesPerStep": 100,
      "scaling.cooldownUpMs": 0,
      "scaling.cooldownDownMs": 0,
      "scaling.maxChange": 1,
      ...over,
    },
  });

/** Publishes what a cluster would report in which judging takes three times what sampling does. */
function reporter(
  bus: NatsBus,
  sizes: () => Record<PoolName, number>,
  listeners: readonly NatsBus[] = [bus],
) {
  let sequence = 0;
  const send = (report: Parameters<typeof loadReport>[0]): void =>
    bus.publish(
      bus.subjects.loads(report?.role),
      loadReportCodec.encode(loadReport({ sequence, ...report })),
    );
  return async (): Promise<void> => {
    const seconds = 2 * ++sequence;
    for (const [role, pool, tokens] of [
      ["policy", "policy", 100],
      ["grm", "grm", 300],
      ["meta-rm", "metaRm", 10],
    ] as const) {
      for (let n = 0; n < sizes()[pool]; n++) {
        const engine = {
          ...{ ...idle, running: 8, upMs: seconds * 1000, busyMs: seconds * 1000, slotMs: seconds * 8000 },
          ...{ items: seconds * 10, generatedTokens: seconds * 1000, promptTokens: seconds * 100 },
          itemTokens: seconds * 10 * tokens,
        };
        send({ role, reporter: `${role}-${n}`, host: `${role}-${n}`, engine });
      }
    }
    const judging = {
      ...{
        inFlight: 4,
        votesInForce: 4,
        judgments: seconds,
        responses: seconds * 4,
        askedVotes: seconds * 16,
      },
      ...{ votes: seconds * 4, metaScores: seconds * 4 },
    };
    send({ role: "aggregator", reporter: "aggregator", judging });
    await bus.flush();
    // What the server has is at a listener before the answer to the listener's own flush.
    for (const listener of listeners) if (listener.status() === "connected") await listener.flush();
  };
}

async function scaler(
  bus: NatsBus,
  openActuator: (loads: LoadWatch) => Promise<OpenedActuator>,
  over: Record<string, unknown> = {},
  time: Clock = clock,
): Promise<CoScaler> {
  const metrics = createMetrics({ service: "co-scaler" });
  return startCoScaler(
    { bus, clock: time, log: silentLogger, metrics, openActuator },
    coScalerOptions(config(over), "co-scaler-1"),
  );
}

/** Rounds until the planner acts on what it sees. */
async function warmUp(coScaler: CoScaler, report: () => Promise<void>): Promise<void> {
  await report();
  for (let i = 0; i < 3; i++) {
    await report();
    await coScaler.round();
  }
}

/** Whose timers never ring again once it was killed. */
function mortalClock(): Clock & { kill(): void } {
  let alive = true;
  const whileAlive = (call: () => void) => () => {
    if (alive) call();
  };
  return {
    ...clock,
    after: (ms, call, opts) => clock.after(ms, whileAlive(call), opts),
    every: (ms, call, opts) => clock.every(ms, whileAlive(call), opts),
    kill: () => {
      alive = false;
    },
  };
}

async function inKubernetes(
  fake: FakeKubernetes,
  identity: string,
  { leaseMs = 3000, renewMs = 2000, clock: time = clock } = {},
): Promise<OpenedActuator> {
  const api = await openKubernetesApi({ kubeconfig: fake.kubeconfig, namespace: null, timeoutMs: 1000 });
  const actuator = createKubernetesActuator(
    { api, clock, log: silentLogger },
    perPool((pool) => ({ kind: "Deployment", name: workloads[pool], field: `scaling.pools.${pool}.name` })),
  );
  const leadership = startElector(
    { api, clock: time, random: createRandom(3), log: silentLogger },
    { name: "covote-co-scaler", identity, leaseMs, renewMs, retryMs: 100 },
  );
  return { actuator, leadership };
}

test("on Kubernetes the split follows the load; a killed leader is followed without a double change", async () => {
  await using nats = await startNats();
  await using fake = await startFakeKubernetes();
  for (const [pool, replicas] of [
    ["policy", 6],
    ["grm", 1],
    ["metaRm", 1],
  ] as const) {
    fake.workload(workloads[pool], replicas);
  }
  const cluster = freshCluster();
  const firstBus = await nats.bus({ cluster, name: "first" });
  const secondBus = await nats.bus({ cluster, name: "second" });
  const report = reporter(
    await nats.bus({ cluster }),
    () => perPool((pool) => fake.pods(workloads[pool]).length),
    [firstBus, secondBus],
  );
  const mortal = mortalClock();
  const one = await inKubernetes(fake, "first", { clock: mortal });
  await until("the first leads", one.leadership.holds);
  const two = await inKubernetes(fake, "second");
  const first = await scaler(firstBus, async () => one, {}, mortal);
  const second = await scaler(secondBus, async () => two);
  await warmUp(first, report);
  await report();
  const decision = await first.round();
  expect(decision).toMatchObject({ problem: "", moved: true, reason: "rebalanced" });
  expect(await second.round()).toBeNull();
  expect(fake.changes).toHaveLength(1);
  expect(fake.changes[0]).toMatch(/^policy-sampler 6→/);
  fake.settle();
  fake.finish();
  mortal.kill();
  await firstBus.close();
  await report();
  await report();
  await until("the second leads", two.leadership.holds);
  const next = await second.round();
  expect(next?.problem).toBe("");
  const grown = next?.pools.map(({ pool, target }) => [pool, target]);
  expect(fake.changes.slice(1).sort()).toEqual(
    (grown ?? [])
      .filter(([pool, target]) => pool !== "policy" && target !== 1)
      .map(([pool, target]) => `${workloads[pool as PoolName]} 1→${target}`)
      .sort(),
  );
  fake.settle();
  fake.start();
  await report();
  await second.round();
  expect(fake.changes.length).toBe(1 + (grown ?? []).filter(([p, t]) => p !== "policy" && t !== 1).length);
  expect(fake.mostPods).toBeLessThanOrEqual(8);
  await Promise.all([first.stop(deadlineIn(clock, 1000)), second.stop(deadlineIn(clock, 1000))]);
});

test("while the API server is away nothing moves; afterwards the split goes on", async () => {
  await using nats = await startNats();
  await using fake = await startFakeKubernetes();
  for (const [pool, replicas] of [
    ["policy", 6],
    ["grm", 1],
    ["metaRm", 1],
  ] as const) {
    fake.workload(workloads[pool], replicas);
  }
  const bus = await nats.bus({ cluster: freshCluster() });
  const report = reporter(bus, () => perPool((pool) => fake.pods(workloads[pool]).length));
  const events: ScalingDecision[] = [];
  bus.subscribe(
    bus.subjects.events(scalingEvents),
    {},
    (data) => void events.push(scalingDecisionCodec.decode(data)),
  );
  const opened = await inKubernetes(fake, "only", { leaseMs: 60_000, renewMs: 50_000 });
  const coScaler = await scaler(bus, async () => opened);
  await until("it leads", opened.leadership.holds);
  await warmUp(coScaler, report);
  fake.fault({ cut: "before" });
  for (let i = 0; i < 3; i++) {
    const decision = await coScaler.round();
    expect(decision).toMatchObject({ reason: "held", actions: [] });
    expect(decision?.problem).toContain(`the API server at ${fake.url} is not reached`);
  }
  expect(fake.changes).toEqual([]);
  // It comes back, and goes away again after it has made the first change, before it has said so.
  fake.fault({ when: (method, path) => method === "PUT" && path.endsWith("/scale"), cut: "after" });
  await report();
  const decision = await coScaler.round();
  expect(decision).toMatchObject({ problem: "", moved: true, actions: [{ outcome: "failed" }, {}, {}] });
  expect(fake.changes).toHaveLength(1);
  fake.heal();
  fake.settle();
  fake.finish();
  await report();
  const next = await coScaler.round();
  const grown = next?.actions.filter(({ outcome }) => outcome === "scaled");
  expect(grown?.length).toBeGreaterThan(0);
  expect(fake.changes.slice(1)).toEqual(
    grown?.map(({ pool, from, to }) => `${workloads[pool as PoolName]} ${from}→${to}`),
  );
  expect(fake.mostPods).toBeLessThanOrEqual(8);
  const history = await readHistory(bus);
  expect(history.map(({ problem, repeats }) => [problem === "", repeats])).toEqual([
    [true, 2],
    [false, 2],
    [true, 0],
    [true, 0],
  ]);
  await until("events", () => events.length === 8);
  await coScaler.stop(deadlineIn(clock, 1000));
});

test("KEDA is told how many replicas a pool is to have, and nothing while nobody knows", async () => {
  await using nats = await startNats();
  const bus = await nats.bus({ cluster: freshCluster() });
  const sizes = { policy: 6, grm: 1, metaRm: 1 };
  const report = reporter(bus, () => sizes);
  const closing = new AbortController();
  // Who was not heard of for ten seconds has gone.
  let shiftMs = 0;
  const later: Clock = { ...clock, monotonic: () => clock.monotonic() + shiftMs };
  const coScaler = await scaler(
    bus,
    async (loads) => {
      const { pools } = config().scaling;
      const actuator: KedaActuator = createKedaActuator(loads.book, () => later.monotonic(), pools);
      const max = perPool((pool) => (pool === "metaRm" ? 1 : pools[pool].max));
      return { actuator, leadership: soleLeader, api: externalScaler(actuator, max, closing.signal) };
    },
    { "scaling.pools.metaRm.max": 1 },
    later,
  );
  const server = await createGrpcServer({
    ...{
      address: { host: "127.0.0.1", port: 0 },
      services: [coScaler.api as NonNullable<typeof coScaler.api>],
    },
    ...{ log: silentLogger, health: createHealth(), clock },
  });
  const keda = new ExternalScalerClient(formatAddress(server.address), credentials.createInsecure());
  const ref = (pool?: string) => ({
    ...{ name: "covote-grm", namespace: "rl" },
    scalerMetadata: { scalerAddress: "co-scaler:50051", ...(pool !== undefined && { pool }) },
  });
  const ask = <T>(call: (done: (error: Error | null, answer: T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) =>
      call((error, answer) => (error === null ? resolve(answer) : reject(error))),
    );
  const metrics = (pool: string): Promise<number | undefined> =>
    ask<{ metricValues: { metricValueFloat: number }[] }>((done) =>
      keda.getMetrics({ scaledObjectRef: ref(pool), metricName: `covote-${pool}-replicas` }, done),
    ).then(({ metricValues }) => metricValues[0]?.metricValueFloat);

  expect((await coScaler.round())?.problem).toContain("no replica of policy reports its load");
  await expect(metrics("grm")).rejects.toMatchObject({
    code: 14,
    details: expect.stringContaining("leave it as it is"),
  });
  await expect(ask((done) => keda.isActive(ref("grm"), done))).rejects.toMatchObject({ code: 14 });
  await expect(ask((done) => keda.isActive(ref(), done))).rejects.toMatchObject({
    ...{
      code: 3,
      details: expect.stringContaining(
        "scalerMetadata.pool of rl/covote-grm: must be one of policy, grm, metaRm",
      ),
    },
  });
  await warmUp(coScaler, report);
  await report();
  const first = await coScaler.round();
  expect(first).toMatchObject({ problem: "", moved: true });
  expect(await ask((done) => keda.getMetricSpec(ref("grm"), done))).toEqual({
    metricSpecs: [{ metricName: "covote-grm-replicas", targetSize: 1, targetSizeFloat: 1 }],
  });
  // GPUs are not free before policy replicas have gone.
  const target = first?.pools.find(({ pool }) => pool === "policy")?.target as number;
  expect([await metrics("policy"), await metrics("grm")]).toEqual([target, 1]);
  const stream = keda.streamIsActive(ref("grm"));
  const active = await new Promise((resolve) => stream.once("data", resolve));
  expect(active).toEqual({ result: true });
  sizes.policy = target;
  shiftMs = 11_000;
  await report();
  await bus.flush();
  expect(await coScaler.round()).toMatchObject({ problem: "" });
  expect(await metrics("grm")).toBe(8 - target - 1);
  const ended = new Promise((resolve) => stream.once("end", resolve));
  closing.abort();
  await ended;
  keda.close();
  await server.stop(deadlineIn(clock, 500));
  await coScaler.stop(deadlineIn(clock, 500));
});
