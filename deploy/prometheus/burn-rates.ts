/**
 * Service level objectives as rules: multi-window, multi-burn-rate alerts (The Site Reliability Workbook, chapter 5, with
 * the windows that sloth generates). A burn rate of 1 spends exactly the error budget of 30 days in 30 days.
 *
 * - Each alert needs a long window, so that it is worth waking somebody, and a short one, so that it ends soon.
 * - Where nothing happened there is no ratio, and no alert; where little happened, a few failures wake nobody.
 */
import { type AlertingRule, type RecordingRule, type RuleGroup, runbookOf, type Severity } from "./rule.js";

export interface Slo {
  name: string;
  alert: string;
  /** Share of events that must be good, 0 to 1. */
  objective: number;
  /** Queries for a window such as `5m`: good events and all events a second, by installation. */
  good(window: string): string;
  events(window: string): string;
  /** What the events are, and what a bad one is: "judgments", "were not answered in full within 30 s". */
  what: { events: string; bad: string };
}

interface Burn {
  rate: number;
  /** Either pair makes the alert. */
  short: Window;
  long: Window;
  severity: Severity;
}

const windows = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"] as const;
type Window = (typeof windows)[number];

const burns: readonly Burn[] = [
  { severity: "page", rate: 14.4, short: "5m", long: "1h" },
  { severity: "page", rate: 6, short: "30m", long: "6h" },
  { severity: "ticket", rate: 3, short: "2h", long: "1d" },
  { severity: "ticket", rate: 1, short: "6h", long: "3d" },
];

const seconds: Record<Window, number> = {
  "5m": 300,
  "30m": 1800,
  "1h": 3600,
  "2h": 7200,
  "6h": 21_600,
  "1d": 86_400,
  "3d": 259_200,
};

/** Events in the long window below which nothing is said. */
const fewestEvents = 20;

export function sloGroup(slo: Slo): RuleGroup {
  return {
    name: `covote-slo-${slo.name}`,
    rules: [...windows.flatMap((window) => records(slo, window)), ...alerts(slo)],
  };
}

function records(slo: Slo, window: Window): RecordingRule[] {
  const labels = { slo: slo.name };
  return [
    { record: `covote:slo_events:rate${window}`, expr: slo.events(window), labels },
    {
      record: `covote:slo_errors:ratio_rate${window}`,
      expr: `1 - (${slo.good(window)}) / (${slo.events(window)} > 0)`,
      labels,
    },
  ];
}

function alerts(slo: Slo): AlertingRule[] {
  const budget = round(1 - slo.objective);
  return (["page", "ticket"] as const).map((severity) => {
    const pairs = burns.filter((burn) => burn.severity === severity);
    return {
      alert: slo.alert,
      expr: pairs.map((burn) => `(${burning(slo.name, burn, budget)})`).join("\nor\n"),
      labels: { severity, slo: slo.name },
      annotations: {
        summary: `${share(budget)} of the ${slo.what.events} may go wrong, and more do`,
        description:
          `{{ $value | humanizePercentage }} of the ${slo.what.events} ${slo.what.bad}; the error budget of 30 days is ` +
          (severity === "page" ? "gone within days." : "spent before they are over."),
        runbook_url: runbookOf(slo.alert),
      },
    };
  });
}

function burning(slo: string, { rate, short, long }: Burn, budget: number): string {
  const above = (window: Window): string =>
    `covote:slo_errors:ratio_rate${window}{slo="${slo}"} > ${round(rate * budget)}`;
  const enough = `covote:slo_events:rate${long}{slo="${slo}"} * ${seconds[long]} >= ${fewestEvents}`;
  return [above(short), above(long), enough].join("\n  and ");
}

/** Without the last bits that binary fractions leave. */
function round(value: number): number {
  return Number(value.toPrecision(12));
}

function share(ratio: number): string {
  return `${round(ratio * 100)} %`;
}
