/**
 * A cluster that trains and scores, a real Prometheus that scrapes it, and every query of every dashboard: each has
 * to find data, with the labels that its legend names.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Cluster } from "../../cli/cluster/cluster.js";
import { openOneProcessCluster } from "../../cli/cluster/one-process.js";
import { dashboards } from "../../deploy/grafana/dashboards.js";
import { declaredMetrics, seriesNames } from "../../deploy/metrics/declared.js";
import { systemClock } from "../../lib/core/clock.js";
import { silentLogger } from "../../lib/core/logger.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { createGrpcClient } from "../../lib/host/grpc-client.js";
import { RewardServiceService } from "../../lib/wire/gen/covote/v1/reward.js";
import { startNats, type TestNats } from "../support/nats.js";
import { type Prometheus, promtool, startPrometheus } from "../support/prometheus.js";
import { scoreRequest } from "../support/reward-cluster.js";
import { quickSettings } from "../support/train-run.js";

const folder = mkdtempSync(join(tmpdir(), "covote-observed-"));
let nats: TestNats;
let cluster: Cluster;
let prometheus: Prometheus;

beforeAll(async () => {
  nats = await startNats();
  const config = compileCovoteConfig({
    overrides: { ...quickSettings, "run.dir": join(folder, "observed"), "training.klWeight": 0.01 },
  });
  const clock = systemClock();
  cluster = await openOneProcessCluster({ config, natsUrl: nats.url, clock, log: silentLogger, env: {} });
  const address = cluster.endpoints[0]?.metrics ?? "";
  prometheus = await startPrometheus([{ address, labels: { cluster: "laptop", namespace: "rl" } }]);
  // What happens from here on is an increase: the counters were scraped at zero.
  const learner = await cluster.startLearner();
  await prometheus.scraped();
  const client = createGrpcClient({ address: cluster.rewards, what: "reward service" });
  const texts = ["dear friend . the river is blue . thanks", "hello", "thanks ."];
  for (let i = 0; i < 3; i++) await client.unary(RewardServiceService.score, scoreRequest({ texts }));
  client.close();
  await learner.finished;
  await prometheus.scraped();
  await prometheus.scraped();
});

afterAll(async () => {
  await prometheus?.[Symbol.asyncDispose]();
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
  test("can be narrowed to a cluster, a namespace and a service", async () => {
    const chosen = '{cluster="laptop",namespace="rl",service="vote-aggregator"}';
    expect(await prometheus.query(`covote_rewards_total${chosen}`)).not.toEqual([]);
    expect(await prometheus.query('covote_rewards_total{cluster="other"}')).toEqual([]);
  });
  test("has nothing against it in the eyes of promtool", async () => {
    const text = await (await fetch(`http://${cluster.endpoints[0]?.metrics}/metrics`)).text();
    const own = text.split("\n").filter((line) => /^(# (HELP|TYPE) )?covote_/.test(line));
    const { code, output } = await promtool(["check", "metrics"], `${own.join("\n")}\n`);
    expect(output).toBe("");
    expect(code).toBe(0);
  });
  test("is few series: labels are bounded", async () => {
    const [series] = await prometheus.query('count({__name__=~"covote_.*"})');
    expect(Number(series?.value[1])).toBeLessThan(4000);
  });
});
