/** docs/metrics.md: the catalogue of metrics, for people. */
import type { MetricInfo } from "../../lib/host/metrics.js";
import type { MetricGroup } from "./declared.js";

export function metricsDocument(groups: readonly MetricGroup[], node: readonly MetricInfo[]): string {
  return [
    "# Metrics",
    "",
    "<!-- Written by `make observability`. Do not edit. -->",
    "",
    "Every process answers `GET /metrics` on its operations port (9464 and up). Each series has the label `service`, the",
    "part of covote that it is about: services that share a process are told apart by it. `cluster` and `namespace`,",
    "which the dashboards ask for, come from the scrape configuration.",
    "",
    "Counters and histograms whose label values are listed exist at zero from the start. Labels never hold ids of groups,",
    "judgments or votes; where values are not listed, the table says what keeps them few.",
    "",
    ...groups.flatMap(section),
    "## Node",
    "",
    "In: every process. From `prom-client`; event-loop lag tells whether a process keeps up.",
    "",
    "| metric | type | what |",
    "|---|---|---|",
    ...node.map(({ name, type, help }) => `| \`${name}\` | ${type} | ${cell(help.replace(/\.$/, ""))} |`),
    "",
  ].join("\n");
}

function section({ title, where, metrics }: MetricGroup): string[] {
  return [
    `## ${title}`,
    "",
    `In: ${where}.`,
    "",
    "| metric | type | labels | what |",
    "|---|---|---|---|",
    ...metrics.map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${Object.entries(labels).map(labelText).join("<br>")} | ${cell(help)} |`,
    ),
    "",
  ];
}

function labelText([label, values]: [string, readonly string[] | string]): string {
  const text = typeof values === "string" ? values : values.map((value) => `\`${value}\``).join(" ");
  return `\`${label}\`: ${cell(text)}`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
