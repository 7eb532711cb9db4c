/** Rules of Prometheus as plain data, in the words of its files. */

export interface RecordingRule {
  record: string;
  expr: string;
  labels?: Record<string, string>;
}

/** `page`: somebody is woken; `ticket`: somebody looks within a day. */
export type Severity = "page" | "ticket";

export interface AlertingRule {
  alert: string;
  expr: string;
  /** How long the expression must hold first. */
  for?: string;
  labels: { severity: Severity } & Record<string, string>;
  annotations: { summary: string; description: string; runbook_url: string };
}

export type Rule = RecordingRule | AlertingRule;

export interface RuleGroup {
  name: string;
  interval?: string;
  rules: Rule[];
}

/** Where the page of an alert is, below whatever the pages are served under. */
export function runbookOf(alert: string): string {
  return `docs/runbooks/${alert}.md`;
}

export function isAlert(rule: Rule): rule is AlertingRule {
  return "alert" in rule;
}

/** Labels that the scrape configuration gives to whatever belongs to one installation. */
export const installation = "cluster, namespace";
