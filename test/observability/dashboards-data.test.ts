/**
 * A cluster that trains and scores, a co-scaler beside it, another cluster whose reward model is a server, a real
 * Prometheus that scrapes them, and every query of every dashboard: each has to find data, with the labels that its
 * legend names.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Cluster } from "../../cli/cluster/cluster.js";
import { openOneProcessCluster } from "../../cli/cluster/one-process.js";
import { dashboards } from "../../deploy/grafana/dashboards.js";
import { declaredMetrics, seriesNames } from "../../deploy/metrics/declared.js";
import { ruleGroups } from "../../deploy/prometheus/files.js";
import { isAlert } from "../../deploy/prometheus/rule.js";
import { systemClock } from "../../lib/core/clock.js";
import { silentLogger } from "../../lib/core/logger.js";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { createGrpcClient } from "../../lib/host/grpc-client.js";
import { createHost } from "../../lib/host/host.js";
import { createRuntime, type Runtime } from "../../lib/runtime/runtime.js";
import { RewardServiceService } from "../../lib/wire/gen/covote/v1/reward.js";
import { mountCoScaler } from "../../services/co-scaler/mount.js";
import { mountGrmWorker } from "../../services/grm-worker/mount.js";
import { mountVoteAggregator } from "../../services/vote-aggregator/mount.js";
import { startEngineServer } from "../support/engine-server.js";
import { startNats, type TestNats } from "../support/nats.js";
import { type Prometheus, promtool, startPrometheus } from "../support/prometheus.js";
import { scoreRequest } from "../support/reward-cluster.js";
import { quickSettings } from "../support/train-run.js";

const folder = mkdtempSync(join(tmpdir(), "covote-observed-"));
let nats: TestNats;
let cluster: Cluster;
let prometheus: Prometheus;
/** Of every process's /metrics. */
let addresses: string[];
const stops: (() => Promise<void>)[] = [];
const clock = systemClock();
const settings = {
  ...quickSettings,
  // However slow the machine: what is asked for twice would not add up.
  "judging.ballotPatienceMs": 60_000,
  "judging.deadlineMs": 120_000,
  "training.groupPatienceMs": 120_000,
  "nats.ackWaitMs": 30_000,
  "scaling.actuator": "observe",
  "scaling.intervalMs": 500,
  "scaling.reportIntervalMs": 250,
};

/** A process of its own, but for the process. */
async function startProcess(
  name: string,
  overrides: Record<string, unknown>,
  mount: (runtime: Runtime) => void,
): Promise<Runtime> {
  const config = compileCovoteConfig({ overrides: { ...settings, ...overrides } });
  const host = createHost({ name, log: silentLogger, clock, drainTimeoutMs: 1000 });
  const runtime = createRuntime({ host, config, clock, natsUrl: nats.url, env: {} });
  mount(runtime);
  await runtime.start();
  stops.push(() => host.stop("the test has ended"));
  return runtime;
}

/** Judges on a server: those of the world's questions that show responses by number. */
async function startServedJudges(): Promise<Runtime> {
  const respond = postcardsJudgment({
    panelOf: ({ messages }) =>
      [...(messages[0]?.content ?? "").matchAll(/response \d+/g)].map(([text]) => text),
    quality: () => 0.5,
  });
  const server = await startEngineServer({
    kind: "vllm",
    respond: ({ messages, seed }) => respond({ id: "", messages, maxTokens: 100, temperature: 1, seed }),
  });
  stops.push(() => server.stop());
  const overrides = {
    "cluster.name": "served",
    "grm.engine.kind": "openai",
    "grm.engine.endpoints": [server.url],
    "metaRm.keep": 0,
  };
  return startProcess("served", overrides, (runtime) => {
    mountVoteAggregator(runtime);
    mountGrmWorker(runtime, { name: "grm-worker" });
  });
}

async function scoreAt(address: string): Promise<void> {
  const client = createGrpcClient({ address, what: "reward service" });
  const texts = ["dear friend . the river is blue . thanks", "hello", "thanks ."];
  for (let i = 0; i < 3; i++) await client.unary(RewardServiceService.score, scoreRequest({ texts }));
  client.close();
}

beforeAll(async () => {
  nats = await startNats();
  const config = compileCovoteConfig({
    overrides: { ...settings, "run.dir": join(folder, "observed"), "training.klWeight": 0.01 },
  });
  cluster = await openOneProcessCluster({ config, natsUrl: nats.url, clock, log: silentLogger, env: {} });
  const coScaler = await startProcess("co-scaler", {}, mountCoScaler);
  const served = await startServedJudges();
  addresses = [cluster.endpoints[0]?.metrics ?? "", coScaler.metricsAddress(), served.metricsAddress()];
  prometheus = await startPrometheus(
    addresses.map((address, i) => ({
      address,
      labels: { cluster: "laptop", namespace: i === 2 ? "served" : "rl" },
    })),
  );
  // What happens from here on is an increase: the counters were scraped at zero.
  const learner = await cluster.startLearner();
  await prometheus.scraped();
  await scoreAt(cluster.rewards);
  await scoreAt(served.grpcAddress() ?? "");
  await learner.finished;
  await prometheus.scraped();
  await prometheus.scraped();
});

afterAll(async () => {
  await prometheus?.[Symbol.asyncDispose]();
  for (const stop of stops.reverse()) await stop();
  await cluster?.stop();
  await nats?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** As Grafana puts them in, with everything chosen. */
function substituted(expr: string, choices: Record<string, string>): string {
  const values: Record<string, string> = {
    ...choices,
    cluster: ".*",
    namespace: ".*",
    __rate_interval: "4m",
  };
  return expr.replace(/\$(\w+)/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the variable $${name} has no value`);
    return value;
  });
}

for (const spec of Object.values(dashboards)) {
  const choices = Object.fromEntries(
    (spec.choices ?? []).map(({ name, values }) => [name, values[0] as string]),
  );
  describe(`the dashboard ${spec.title}`, () => {
    for (const { title, panels } of spec.sections) {
      for (const panel of panels) {
        test(`${title} / ${panel.title}`, async () => {
          for (const { expr, legend } of panel.queries) {
            const query = substituted(expr, choices);
            const found = await prometheus.query(query);
            expect(found.length, query).toBeGreaterThan(0);
            const values = found.map(({ value: [, value] }) => Number(value));
            expect(values.some(Number.isFinite), `${query} is ${values}`).toBe(true);
            for (const [, label] of legend.matchAll(/\{\{(\w+)\}\}/g)) {
              for (const { metric } of found) expect(metric, query).toHaveProperty(label as string);
            }
          }
        });
      }
    }
  });
}

describe("the alerts", () => {
  const rules = ruleGroups.flatMap((group) => group.rules);
  test("are queries that Prometheus takes, and are silent in a cluster that works", async () => {
    for (const rule of rules.filter(isAlert))
      expect(await prometheus.query(rule.expr), rule.alert).toEqual([]);
  });
  test("stand on objectives that find their events", async () => {
    for (const rule of rules) {
      if (isAlert(rule) || !rule.record.endsWith("rate5m")) continue;
      const found = await prometheus.query(rule.expr);
      expect(
        found.map(({ metric }) => metric.cluster),
        rule.record,
      ).toContain("laptop");
      if (!rule.record.startsWith("covote:slo_errors")) continue;
      for (const { value } of found) expect(Number(value[1]), rule.expr).toBe(0);
    }
  });
});

describe("what a running cluster tells", () => {
  test("is in the catalogue, and has all of it", async () => {
    const groups = declaredMetrics();
    const declared = seriesNames(groups.flatMap(({ metrics }) => metrics));
    const told = (await prometheus.names()).filter((name) => name.startsWith("covote_"));
    expect(told.filter((name) => !declared.has(name))).toEqual([]);
    // What is off here is not told here.
    const off = seriesNames(groups.filter(({ title }) => title === "Tracing").flatMap((g) => g.metrics));
    expect([...declared].filter((name) => !off.has(name) && !told.includes(name))).toEqual([]);
  });
  test("adds up: votes, rewards, groups, and the time of a reward", async () => {
    const sum = async (metric: string): Promise<number> =>
      Number((await prometheus.query(`sum(${metric})`))[0]?.value[1] ?? Number.NaN);
    const asked = await sum('covote_votes_asked_total{ask="first"}');
    expect(asked).toBeGreaterThan(0);
    expect(await sum("covote_votes_settled_total")).toBe(asked);
    expect(await sum('covote_votes_received_total{outcome!="late"}')).toBe(asked);
    expect(await sum("covote_votes_cast_total")).toBe(asked);
    expect(await sum("covote_vote_seconds_count")).toBe(asked);
    expect(await sum('covote_reward_tokens_total{kind="completion"}')).toBe(
      await sum('covote_vote_tokens_total{kind="completion"}'),
    );
    expect(await sum("covote_reward_agreement_ratio_count")).toBe(
      await sum('covote_rewards_total{outcome="value"}'),
    );
    const judgments = await sum('covote_judgments_total{end="complete"}');
    expect(await sum("covote_reward_latency_seconds_count")).toBe(judgments);
    for (const stage of ["queue", "ballot_wait", "engine", "tally", "record"]) {
      expect(await sum(`covote_reward_stage_seconds_count{stage="${stage}"}`), stage).toBe(judgments);
    }
    const staged = await sum('covote_reward_stage_seconds_sum{stage=~"ballot_wait|engine|meta|tally"}');
    const whole = await sum("covote_reward_latency_seconds_sum");
    expect(staged).toBeGreaterThan(0.9 * whole);
    expect(staged).toBeLessThanOrEqual(whole);
    const { "training.steps": steps, "training.groupsPerStep": perStep } = quickSettings;
    expect(await sum("covote_groups_learned_total")).toBe(steps * perStep);
    expect(await sum("covote_groups_sampled_total")).toBeGreaterThanOrEqual(steps * perStep);
    for (const phase of ["wait", "train", "keep", "publish", "ask"]) {
      expect(await sum(`covote_step_seconds_count{phase="${phase}"}`), phase).toBe(steps);
    }
    expect(await sum('covote_meta_scores_total{outcome="scored"}')).toBeGreaterThan(0);
    expect(await sum('covote_ledger_groups{state=~"lost|duplicated"}')).toBe(0);
  });
  test("can be narrowed to a cluster, a namespace and a service", async () => {
    const chosen = '{cluster="laptop",namespace="rl",service="vote-aggregator"}';
    expect(await prometheus.query(`covote_rewards_total${chosen}`)).not.toEqual([]);
    expect(await prometheus.query('covote_rewards_total{cluster="other"}')).toEqual([]);
  });
  test("has nothing against it in the eyes of promtool", async () => {
    for (const address of addresses) {
      const text = await (await fetch(`http://${address}/metrics`)).text();
      const own = text.split("\n").filter((line) => /^(# (HELP|TYPE) )?covote_/.test(line));
      expect(own.length, address).toBeGreaterThan(50);
      expect(await promtool(["check", "metrics"], `${own.join("\n")}\n`)).toEqual({ code: 0, output: "" });
    }
  });
  test("is few series: labels are bounded", async () => {
    const [series] = await prometheus.query('count({__name__=~"covote_.*"})');
    expect(Number(series?.value[1])).toBeLessThan(4000);
  });
});
