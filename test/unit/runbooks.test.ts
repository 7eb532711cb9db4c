/** Runbooks and the operations guide against the code: every alert has its page, and what a page names exists. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { commands } from "../../cli/commands.js";
import { dashboards } from "../../deploy/grafana/dashboards.js";
import { declaredMetrics, nodeMetrics, seriesNames } from "../../deploy/metrics/declared.js";
import { matchersOf, mentionedMetrics } from "../../deploy/metrics/mentions.js";
import { ruleGroups } from "../../deploy/prometheus/files.js";
import { isAlert } from "../../deploy/prometheus/rule.js";
import { packagePath } from "../../lib/core/package-root.js";
import { listFields } from "../../lib/host/config-fields.js";
import { covoteConfigSchema } from "../../lib/host/covote-config.js";
import { fakeTerminal } from "../support/terminal.js";

const rules = ruleGroups.flatMap((group) => group.rules);
const alerts = rules.filter(isAlert);
const folder = "docs/runbooks";
const pages = readdirSync(packagePath(folder)).filter((file) => file !== "README.md");
const read = (file: string): string => readFileSync(packagePath(file), "utf8");
const texts = [...pages.map((page) => join(folder, page)), join(folder, "README.md"), "docs/operations.md"]
  .filter((file) => existsSync(packagePath(file)))
  .map((file) => ({ file, text: read(file) }));

describe("alerts", () => {
  test("have a page each, and each page an alert", () => {
    const names = [...new Set(alerts.map(({ alert }) => `${alert}.md`))];
    expect(pages.sort()).toEqual(names.sort());
    for (const { alert, annotations } of alerts)
      expect(annotations.runbook_url).toBe(`${folder}/${alert}.md`);
    for (const name of names) expect(read(join(folder, "README.md"))).toContain(`](${name})`);
  });

  test("say who is called, what is wrong, and where", () => {
    for (const { alert, labels, annotations } of alerts) {
      expect(["page", "ticket"], alert).toContain(labels.severity);
      expect(annotations.summary.length, alert).toBeGreaterThan(10);
      expect(annotations.description.length, alert).toBeGreaterThan(20);
      expect(read(join(folder, `${alert}.md`)), alert).toMatch(
        /^# \w+\n\n\*.*(Page|ticket|Ticket).*\*.*\n\n## What it means\n\n[\s\S]+\n## Look at\n\n- [\s\S]+\n## Do\n\n1\. /,
      );
    }
  });

  test("pages say the severity of their alert", () => {
    for (const alert of new Set(alerts.map((rule) => rule.alert))) {
      const severities = new Set(
        alerts.filter((rule) => rule.alert === alert).map((rule) => rule.labels.severity),
      );
      const said = /\n\*(.*)\.\*/
        .exec(read(join(folder, `${alert}.md`)))?.[1]
        ?.toLowerCase()
        .split(" and ");
      expect(new Set(said), alert).toEqual(severities);
    }
  });

  test("ask for metrics that the code has, and for values that their labels list", () => {
    const metrics = [...declaredMetrics().flatMap((group) => group.metrics), ...nodeMetrics()];
    const series = seriesNames(metrics);
    const records = new Set(rules.flatMap((rule) => (isAlert(rule) ? [] : [rule.record])));
    for (const { expr } of rules) {
      expect(mentionedMetrics(expr).filter((name) => !series.has(name))).toEqual([]);
      expect((expr.match(/covote:[a-z_:0-9]+/g) ?? []).filter((name) => !records.has(name))).toEqual([]);
      for (const { metric, label, values } of matchersOf(expr)) {
        const known = metrics.find(({ name }) => metric === name || metric === `${name}_bucket`);
        const listed = known?.labels[label];
        if (Array.isArray(listed)) expect(values.filter((value) => !listed.includes(value))).toEqual([]);
      }
      for (const [, bound] of expr.matchAll(/_bucket\{le="([^"]+)"/g)) {
        const { buckets } = metrics.find(({ name }) => expr.includes(`${name}_bucket`))!;
        expect(buckets.map(String)).toContain(bound);
      }
    }
  });
});

describe("runbooks and operations", () => {
  test("name panels that are on the dashboards", () => {
    const titles = Object.values(dashboards).flatMap(({ title, sections }) =>
      sections.flatMap((section) =>
        section.panels.map((panel) => `${title.replace("covote / ", "")} / ${panel.title}`),
      ),
    );
    const boards = [...new Set(titles.map((title) => title.split(" / ")[0] as string))].join("|");
    const named = texts.flatMap(
      ({ text }) => text.match(new RegExp(`(?<=\`)(${boards}) / [^\`]+(?=\`)`, "g")) ?? [],
    );
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter((name) => !titles.includes(name))).toEqual([]);
  });

  test("name settings that the configuration has", () => {
    const fields = listFields(covoteConfigSchema).map(({ path }) => path);
    const sections = new Set(fields.map((path) => path.split(".")[0] as string));
    const named = texts.flatMap(({ file, text }) =>
      [...text.matchAll(/`([a-zA-Z]+(?:\.[a-zA-Z]+)+)(?:[:=][^`]*)?`/g)]
        .map((match) => match[1] as string)
        .filter((path) => sections.has(path.split(".")[0] as string))
        .map((path) => ({ file, path })),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(
      named.filter(
        ({ path }) => !fields.some((f) => f === path || f.startsWith(`${path}.`)) && !isValue(path),
      ),
    ).toEqual([]);
  });

  test("name commands and flags of covote that exist", async () => {
    const found = texts.flatMap(({ file, text }) =>
      commandLines(text, "covote").map((line) => ({ file, line })),
    );
    expect(found.length).toBeGreaterThan(15);
    for (const { file, line } of found) expect(await problemWith(line), `${file}: covote ${line}`).toBeNull();
  });

  test("use of other tools what these have", () => {
    const known: Record<string, RegExp> = {
      kubectl:
        /^(-n \S+ )?(get|describe|logs|scale|delete|exec|rollout (restart|status|undo)|cordon|uncordon|drain|apply|create (namespace|secret \S+)|port-forward|top (pods|nodes)|wait|annotate|label)\b/,
      helm: /^(install|upgrade|uninstall|rollback|history|status|get (values|manifest)|template)\b/,
      nats: /^(stream (view|report|purge|info)|consumer (report|info|rm)|server report)\b/,
    };
    for (const [tool, verbs] of Object.entries(known)) {
      const lines = texts.flatMap(({ file, text }) =>
        commandLines(text, tool).map((line) => ({ file, line })),
      );
      expect(lines.filter(({ line }) => !verbs.test(line))).toEqual([]);
    }
  });

  test("link to pages and headings that are there", () => {
    for (const { file, text } of texts) {
      for (const [, target, heading] of text.matchAll(/\]\(([^)#\s]+)?(?:#([^)]+))?\)/g)) {
        if (target?.startsWith("http")) continue;
        const path = target === undefined ? file : join(dirname(file), target);
        expect(existsSync(packagePath(path)), `${file}: ${path}`).toBe(true);
        if (heading === undefined) continue;
        const headings = [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
          anchorOf(title as string),
        );
        expect(headings, `${file}: ${path}#${heading}`).toContain(heading);
      }
    }
  });
});

/** Values of the chart that are named like a section of the configuration. */
function isValue(path: string): boolean {
  const values = read("charts/covote/values.yaml");
  return new RegExp(`^${path.split(".")[0]}:`, "m").test(values);
}

function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, "")
    .replace(/ /g, "-");
}

/** What follows the tool's name: in code spans that begin with it, and in lines of code blocks. */
function commandLines(text: string, tool: string): string[] {
  const blocks = [...text.matchAll(/```[a-z]*\n([\s\S]*?)```/g)].map(([, inside]) =>
    (inside as string).replace(/\\\n\s*/g, ""),
  );
  const inBlocks = blocks.flatMap((block) => block.split("\n")).map((line) => line.replace(/^npx /, ""));
  const spans = [...text.replace(/```[\s\S]*?```/g, "").matchAll(/`([^`\n]+)`/g)].map(
    ([, inside]) => inside as string,
  );
  return [...inBlocks, ...spans]
    .map((line) => line.replace(/^.* -- (?=covote )/, "").trim())
    .filter((line) => line.startsWith(`${tool} `))
    .map((line) => line.slice(tool.length + 1).replace(/ +(#|>|\||&&).*$/, ""));
}

/** Null: the command and all of its flags exist. */
async function problemWith(line: string): Promise<string | null> {
  const [name = "", ...rest] = line.split(/\s+/);
  const entry = commands[name];
  if (entry === undefined) return `no command ${name}`;
  let command: Command = await entry.load(fakeTerminal());
  while (rest[0] !== undefined) {
    const inner = command.commands.find((one) => one.name() === rest[0]);
    if (inner === undefined) break;
    command = inner;
    rest.shift();
  }
  const flags = rest.filter((word) => word.startsWith("--")).map((word) => word.split("=")[0]);
  const unknown = flags.filter((flag) => !command.options.some((option) => option.long === flag));
  return unknown.length === 0 ? null : `no ${unknown.join(", ")}`;
}
