import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { dashboards } from "../../deploy/grafana/dashboards.js";
import { dashboard } from "../../deploy/grafana/panels.js";
import { declaredMetrics, nodeMetrics, seriesNames } from "../../deploy/metrics/declared.js";
import { matchersOf, mentionedMetrics } from "../../deploy/metrics/mentions.js";
import { packagePath } from "../../lib/core/package-root.js";

const metrics = [...declaredMetrics().flatMap((group) => group.metrics), ...nodeMetrics()];
const series = seriesNames(metrics);
const panels = Object.entries(dashboards).flatMap(([file, spec]) =>
  spec.sections.flatMap((section) => section.panels.map((panel) => ({ file, ...panel }))),
);
const queries = panels.flatMap(({ file, title, queries }) =>
  queries.map(({ expr, legend }) => ({ where: `${file}: ${title}`, expr, legend })),
);

describe("the dashboards", () => {
  test("ask for metrics that the code has", () => {
    expect(queries.length).toBeGreaterThan(80);
    const unknown = queries.flatMap(({ where, expr }) =>
      mentionedMetrics(expr)
        .filter((name) => !series.has(name))
        .map((name) => `${where}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });
  test("ask for labels that these have, and for values that are listed", () => {
    const ofPrometheus = ["cluster", "namespace", "service", "le"];
    const wrong = queries.flatMap(({ where, expr }) =>
      matchersOf(expr).flatMap(({ metric, label, values }) => {
        if (ofPrometheus.includes(label)) return [];
        const known = metrics.find(({ name }) =>
          seriesNames([{ ...baseInfo, name, type: typeOf(name) }]).has(metric),
        );
        const listed = known?.labels[label];
        if (listed === undefined) return [`${where}: ${metric} has no label ${label}`];
        if (typeof listed === "string") return [];
        return values
          .filter((value) => !listed.includes(value))
          .map((value) => `${where}: ${metric}{${label}} is never ${value}`);
      }),
    );
    expect(wrong).toEqual([]);
  });
  test("say for each panel what it is for, in which unit, and what its lines are", () => {
    for (const { file, title, description, unit, queries } of panels) {
      const where = `${file}: ${title}`;
      expect(description.length, where).toBeGreaterThan(20);
      expect(unit, where).not.toBe("");
      expect(queries.length, where).toBeGreaterThan(0);
      for (const { legend } of queries) expect(legend, where).not.toBe("");
    }
  });
  test("narrow every metric to the cluster and the namespace that were chosen", () => {
    for (const { where, expr } of queries) {
      const narrowed = expr.match(/\{cluster=~"\$cluster",namespace=~"\$namespace"/g)?.length;
      expect(narrowed, where).toBe(expr.match(/\b(?:covote|nodejs|process)_\w+/g)?.length);
    }
  });
  test("have titles, uids and panel numbers of their own", () => {
    const specs = Object.values(dashboards);
    expect(new Set(specs.map(({ uid }) => uid)).size).toBe(specs.length);
    for (const spec of specs) {
      const titles = spec.sections.flatMap((section) => section.panels.map(({ title }) => title));
      expect(titles.filter((title, i) => titles.indexOf(title) < i)).toEqual([]);
      const ids = (dashboard(spec).panels ?? []).map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
    }
  });
  test("take their target from the buckets of the latency", () => {
    const { buckets } = metrics.find(({ name }) => name === "covote_reward_latency_seconds")!;
    const target = dashboards["reward-slo"]?.choices?.find(({ name }) => name === "target");
    expect(target?.values.filter((value) => !buckets.map(String).includes(value))).toEqual([]);
  });
});

test("pages and rules speak of metrics that the code has", () => {
  const known = new Set([...series, ...metrics.map(({ name }) => name)]);
  const files = texts();
  expect(files.map(([file]) => file)).toContain("docs/metrics.md");
  const unknown = files.flatMap(([file, text]) =>
    mentionedMetrics(text)
      .filter((name) => !known.has(name))
      .map((name) => `${file}: ${name}`),
  );
  expect(unknown).toEqual([]);
});

describe("what a text mentions", () => {
  test("is found in queries, tables and sentences, each name once", () => {
    expect(mentionedMetrics('rate(covote_votes_total{a="b"}[5m]) / covote_votes_total')).toEqual([
      "covote_votes_total",
    ]);
    expect(mentionedMetrics("| `covote_reward_latency_seconds` | see nodejs_eventloop_lag_seconds.")).toEqual(
      ["covote_reward_latency_seconds", "nodejs_eventloop_lag_seconds"],
    );
  });
  test("is not a placeholder, nor the record of a rule", () => {
    expect(mentionedMetrics("covote_<cluster>_ballots, covote_votes_*, covote:reward_slo:ratio")).toEqual([]);
  });
  test("are matchers, those with a variable left out", () => {
    expect(matchersOf('sum(a_total{x=~"$x",y="1",z!~"b|c"}) / b{}')).toEqual([
      { metric: "a_total", label: "y", values: ["1"] },
      { metric: "a_total", label: "z", values: ["b", "c"] },
    ]);
  });
});

const baseInfo = { help: "", labels: {}, buckets: [] };

function typeOf(name: string) {
  return metrics.find((metric) => metric.name === name)!.type;
}

/** Pages for people, and rules for Prometheus; the changelog speaks of the past as well. */
function texts(): [file: string, text: string][] {
  const below = (folder: string, ending: RegExp): string[] =>
    existsSync(packagePath(folder))
      ? readdirSync(packagePath(folder), { recursive: true, encoding: "utf8" })
          .filter((file) => ending.test(file))
          .map((file) => join(folder, file))
      : [];
  const files = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    ...below("docs", /\.md$/),
    ...below("deploy", /\.(ya?ml|md)$/),
    ...below("charts", /\.(ya?ml|md|tpl)$/),
    ...below("helm", /\.(ya?ml|md)$/),
  ];
  return files.map((file) => [file, readFileSync(packagePath(file), "utf8")]);
}
