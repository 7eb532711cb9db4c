/** What a process is. */
import { packageVersion } from "../core/package-root.js";
import type { Metrics } from "../host/metrics.js";

export interface ProcessInfo {
  node: string;
  /** The grammar that judgments are written in, with its version. */
  grammar: { name: string; version: string };
}

export function processMetrics(metrics: Metrics, { node, grammar }: ProcessInfo): void {
  const one = "one: that of the process";
  metrics
    .gauge({
      name: "covote_build_info",
      help: "Always 1; the labels say what runs",
      labels: { version: one, node: one, grammar: one },
    })
    .set(1, { version: packageVersion(), node, grammar: `${grammar.name}@${grammar.version}` });
}
