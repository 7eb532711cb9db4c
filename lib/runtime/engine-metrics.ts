/** What every engine tells Prometheus, whatever it serves. */
import type { EngineStats } from "../engine/engine.js";
import type { Metrics } from "../host/metrics.js";

export type EngineRole = (typeof engineRoles)[number];
export const engineRoles = ["policy", "grm", "meta-rm"] as const;

export function engineMetrics(metrics: Metrics, role: EngineRole, engine: { stats(): EngineStats }): void {
  // Series of roles that this process does not serve would be zeros about nothing.
  const labels = { role: "policy, grm or meta-rm: what the engine serves" } as const;
  const running = metrics.gauge({
    name: "covote_engine_running",
    help: "Requests that the engine runs",
    labels,
  });
  const waiting = metrics.gauge({
    name: "covote_engine_waiting",
    help: "Requests queued in the engine",
    labels,
  });
  const slots = metrics.gauge({
    name: "covote_engine_slots",
    help: "Requests that the engine can run side by side",
    labels,
  });
  const busy = metrics
    .counter({
      name: "covote_engine_busy_seconds_total",
      help: "Seconds in which the engine ran at least one request; times its GPUs, its GPU-seconds",
      labels,
    })
    .at({ role });
  const tokens = metrics.counter({
    name: "covote_engine_tokens_total",
    help: "Tokens that went through the engine; prompt tokens that it kept from before count as well",
    labels: { ...labels, kind: "prompt or generated" },
  });
  const prompt = tokens.at({ role, kind: "prompt" });
  const generated = tokens.at({ role, kind: "generated" });
  let last = { busyMs: 0, promptTokens: 0, generatedTokens: 0 };
  metrics.onScrape(() => {
    const stats = engine.stats();
    running.set(stats.running, { role });
    waiting.set(stats.waiting, { role });
    slots.set(stats.slots, { role });
    // Engines that were opened anew count from zero.
    busy.inc(Math.max(0, stats.busyMs - last.busyMs) / 1000);
    prompt.inc(Math.max(0, stats.promptTokens - last.promptTokens));
    generated.inc(Math.max(0, stats.generatedTokens - last.generatedTokens));
    last = stats;
  });
}
