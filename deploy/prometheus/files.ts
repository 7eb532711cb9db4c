/** The rule files, as text by name: what is committed, and what the chart installs. */
import { stringify } from "yaml";
import { causeGroups } from "./causes.js";
import type { RuleGroup } from "./rule.js";
import { sloGroups } from "./slos.js";

export const ruleGroups: readonly RuleGroup[] = [...sloGroups, ...causeGroups];

export function ruleFiles(): Record<string, string> {
  return { "slos.yaml": toFile(sloGroups), "causes.yaml": toFile(causeGroups) };
}

function toFile(groups: readonly RuleGroup[]): string {
  const text = stringify({ groups }, { lineWidth: 0, aliasDuplicateObjects: false });
  return `# Written by \`make observability\`. Do not edit.\n${text}`;
}
