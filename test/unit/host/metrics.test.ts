import { expect, test } from "vitest";
import { createMetrics } from "../../../lib/host/metrics.js";

const spec = {
  name: "covote_votes_total",
  help: "Votes cast.",
  labels: { outcome: "the closed list of outcomes" },
} as const;

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
  expect(() => metrics.counter({ ...spec, labels: { why: "few" } })).toThrow("declared as");
});

test("two registries of one process do not know each other", async () => {
  const one = createMetrics({ service: "a" });
  const two = createMetrics({ service: "b" });
  one.gauge({ name: "covote_queue_length", help: "Items." }).set(4);
  expect(two.catalogue()).toEqual([]);
  expect(one.catalogue().map(({ name }) => name)).toEqual(["covote_queue_length"]);
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

test("what is listed exists from the start, at zero, and is not there where values are not listed", async () => {
  const metrics = createMetrics({ service: "a" });
  metrics.counter({ name: "covote_lost_total", help: "Lost." });
  metrics.counter({ name: "covote_ends_total", help: "Ends.", labels: { end: ["good", "bad"], by: ["me"] } });
  metrics.counter(spec);
  metrics.histogram({ name: "covote_wait_seconds", help: "Waits.", labels: { why: ["x"] }, buckets: [1] });
  const text = await metrics.text();
  expect(text).toContain('covote_lost_total{service="a"} 0');
  expect(text).toContain('covote_ends_total{end="good",by="me",service="a"} 0');
  expect(text).toContain('covote_ends_total{end="bad",by="me",service="a"} 0');
  expect(text).toContain('covote_wait_seconds_bucket{le="1",why="x",service="a"} 0');
  expect(text).toContain('covote_wait_seconds_count{why="x",service="a"} 0');
  expect(text).not.toContain("covote_votes_total{");
});

test("a counter and a histogram of some labels are found once and counted into together", async () => {
  const metrics = createMetrics({ service: "a" });
  const counter = metrics.counter(spec);
  const usable = counter.at({ outcome: "usable" });
  usable.inc(2);
  counter.inc(1, { outcome: "usable" });
  const waits = { name: "covote_wait_seconds", help: "Waits.", buckets: [1] };
  metrics.histogram(waits).at().observe(0.5);
  metrics.histogram(waits).observe(1);
  const text = await metrics.text();
  expect(text).toContain('covote_votes_total{outcome="usable",service="a"} 3');
  expect(text.match(/^covote_wait_seconds_count.*$/gm)).toEqual(['covote_wait_seconds_count{service="a"} 2']);
  expect(text).toContain('covote_wait_seconds_bucket{le="1",service="a"} 2');
});

test("what is no number is not counted by a histogram, and a counter never shrinks", async () => {
  const metrics = createMetrics({ service: "a" });
  const waits = metrics.histogram({ name: "covote_wait_seconds", help: "Waits.", buckets: [1] });
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) waits.observe(value);
  expect(await metrics.text()).toContain('covote_wait_seconds_count{service="a"} 0');
  const counter = metrics.counter({ name: "covote_lost_total", help: "Lost." });
  for (const by of [-1, Number.NaN]) expect(() => counter.inc(by)).toThrow("counters never shrink");
});

test("what is counted while a scrape reads is in that scrape", async () => {
  const metrics = createMetrics({ service: "a" });
  const counter = metrics.counter({ name: "covote_read_total", help: "Read." });
  metrics.onScrape(async () => counter.inc(5));
  expect(await metrics.text()).toContain('covote_read_total{service="a"} 5');
});

test("a gauge that is not known any more is not told", async () => {
  const metrics = createMetrics({ service: "a" });
  const gauge = metrics.gauge({ name: "covote_backlog", help: "Items.", labels: { queue: ["x", "y"] } });
  gauge.set(1, { queue: "x" });
  gauge.set(2, { queue: "y" });
  gauge.remove({ queue: "x" });
  const text = await metrics.text();
  expect(text).not.toContain('queue="x"');
  expect(text).toContain('covote_backlog{queue="y",service="a"} 2');
});

test("a service that ends takes its series with it, and leaves those of others", async () => {
  const metrics = createMetrics({ service: "a" });
  const ending = metrics.forService("worker-7");
  let reads = 0;
  for (const each of [metrics, ending]) {
    each.counter({ name: "covote_lost_total", help: "Lost.", labels: { why: ["x"] } }).inc(1, { why: "x" });
    each.gauge({ name: "covote_backlog", help: "Items.", labels: { queue: "few" } }).set(3, { queue: "q" });
    each.histogram({ name: "covote_wait_seconds", help: "Waits.", buckets: [1] }).observe(0.5);
  }
  ending.onScrape(() => {
    reads++;
  });
  expect(await metrics.text()).toContain('service="worker-7"');
  expect(reads).toBe(1);
  ending.end();
  const text = await metrics.text();
  expect(text).not.toContain("worker-7");
  expect(reads).toBe(1);
  expect(text).toContain('covote_lost_total{why="x",service="a"} 1');
  expect(text).toContain('covote_backlog{queue="q",service="a"} 3');
  expect(text).toContain('covote_wait_seconds_count{service="a"} 1');
});
