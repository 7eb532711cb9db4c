import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { declaredMetrics } from "../../deploy/metrics/declared.js";
import { namingProblems } from "../../deploy/metrics/naming.js";
import { packagePath } from "../../lib/core/package-root.js";
import type { MetricInfo } from "../../lib/host/metrics.js";

const declared = declaredMetrics().flatMap(({ metrics }) => metrics);

describe("the catalogue", () => {
  test("has every metric that the code names", () => {
    const known = new Set(declared.map(({ name }) => name));
    const named = sources().flatMap((text) => [...text.matchAll(/"(covote_[a-z0-9_]+)"/g)].map((m) => m[1]));
    expect(named.length).toBeGreaterThan(60);
    expect(named.filter((name) => !known.has(name as string))).toEqual([]);
  });
  test("names each once", () => {
    const names = declared.map(({ name }) => name);
    expect(names.filter((name, i) => names.indexOf(name) < i)).toEqual([]);
  });
  test("keeps the rules of Prometheus for names, units and labels", () => {
    expect(declared.flatMap(namingProblems)).toEqual([]);
  });
});

describe("the rules refuse", () => {
  const good: MetricInfo = {
    name: "covote_votes_total",
    type: "counter",
    help: "Votes that were cast",
    labels: { outcome: ["usable", "late"] },
    buckets: [],
  };
  const histogram: Partial<MetricInfo> = { type: "histogram", name: "covote_vote_seconds", buckets: [1, 2] };
  test("nothing that is right", () => {
    expect(namingProblems(good)).toEqual([]);
    expect(namingProblems({ ...good, ...histogram })).toEqual([]);
  });
  test.each<[string, Partial<MetricInfo>]>([
    ["a name of somebody else", { name: "votes_total" }],
    ["camel case", { name: "covote_voteCount_total" }],
    ["a counter without _total", { name: "covote_votes" }],
    ["a gauge with _total", { type: "gauge" }],
    ["a suffix of histograms", { type: "gauge", name: "covote_vote_count" }],
    ["milliseconds", { type: "gauge", name: "covote_wait_ms" }],
    ["per cent", { type: "gauge", name: "covote_share_percent" }],
    ["a unit in the middle", { type: "gauge", name: "covote_seconds_waited" }],
    ["a histogram without a unit", { ...histogram, name: "covote_vote_size" }],
    ["a histogram without buckets", { ...histogram, buckets: [] }],
    ["buckets that do not ascend", { ...histogram, buckets: [2, 1] }],
    ["no help", { help: "" }],
    ["a label that Prometheus sets", { labels: { instance: ["a"] } }],
    ["a label without a bound", { labels: { outcome: "" } }],
    ["a label with too many values", { labels: { outcome: Array.from({ length: 99 }, (_, i) => `v${i}`) } }],
    ["a value that is listed twice", { labels: { outcome: ["a", "a"] } }],
  ])("%s", (_what, wrong) => {
    expect(namingProblems({ ...good, ...wrong })).not.toEqual([]);
  });
});

/** Texts of the sources of libraries and services; names of NATS resources begin alike, but are not literals. */
function sources(): string[] {
  return ["lib", "services"].flatMap((folder) =>
    readdirSync(join(packagePath(), folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8")),
  );
}
