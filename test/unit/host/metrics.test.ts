import { expect, test } from "vitest";
import { createMetrics } from "../../../lib/host/metrics.js";

const spec = { name: "covote_votes_total", help: "Votes cast.", labels: ["outcome"] as const };

test("services of one process share a registry and are told apart by the service label", async () => {
  const worker = createMetrics({ service: "grm-worker" });
  const aggregator = worker.forService("vote-aggregator");
  worker.counter(spec).inc(2, { outcome: "usable" });
  aggregator.counter(spec).inc(3, { outcome: "usable" });
  const text = await worker.text();
  expect(text).toContain('covote_votes_total{outcome="usable",service="grm-worker"} 2');
  expect(text).toContain('covote_votes_total{outcome="usable",service="vote-aggregator"} 3');
  expect(await aggregator.text()).toBe(text);
});

test("the help text ends with the labels", async () => {
  const metrics = createMetrics({ service: "grm-worker" });
  metrics.counter(spec);
  expect(await metrics.text()).toContain("# HELP covote_votes_total Votes cast. Labels: outcome, service.");
});

test("the same declaration twice is the same metric; another type or other labels is a fault", async () => {
  const metrics = createMetrics({ service: "a" });
  metrics.counter(spec).inc(1, { outcome: "usable" });
  metrics.counter(spec).inc(1, { outcome: "usable" });
  expect(await metrics.text()).toContain('{outcome="usable",service="a"} 2');
  expect(() => metrics.gauge(spec)).toThrow(
    "metric covote_votes_total: declared as counter {outcome, service} and as gauge {outcome, service}",
  );
  expect(() => metrics.counter({ ...spec, labels: ["why"] })).toThrow("declared as");
});

test("two registries of one process do not know each other", async () => {
  const one = createMetrics({ service: "a" });
  const two = createMetrics({ service: "b" });
  one.gauge({ name: "covote_queue_length", help: "Items." }).set(4);
  expect(two.names()).toEqual([]);
  expect(one.names()).toEqual(["covote_queue_length"]);
});

test("gauges that are read are set at each scrape, until removed", async () => {
  const metrics = createMetrics({ service: "a" });
  const gauge = metrics.gauge({ name: "covote_slots_running", help: "Slots." });
  let running = 1;
  const remove = metrics.onScrape(() => gauge.set(running));
  expect(await metrics.text()).toContain('covote_slots_running{service="a"} 1');
  running = 7;
  expect(await metrics.text()).toContain('covote_slots_running{service="a"} 7');
  remove();
  running = 9;
  expect(await metrics.text()).toContain('covote_slots_running{service="a"} 7');
});

test("histograms count into the buckets that were asked for", async () => {
  const metrics = createMetrics({ service: "a" });
  const seconds = metrics.histogram({ name: "covote_vote_seconds", help: "Seconds.", buckets: [0.1, 1] });
  for (const value of [0.05, 0.5, 5]) seconds.observe(value);
  const text = await metrics.text();
  expect(text).toContain('covote_vote_seconds_bucket{le="0.1",service="a"} 1');
  expect(text).toContain('covote_vote_seconds_bucket{le="1",service="a"} 2');
  expect(text).toContain('covote_vote_seconds_count{service="a"} 3');
});
