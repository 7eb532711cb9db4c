/** An engine's own load out of its `/metrics`, by the names of vLLM and SGLang, old and new. Pure. */
import type { LoadSample } from "./pool-admission.js";

/** In the order in which they count; a server has one of them. */
const names: Readonly<Record<keyof LoadSample, readonly string[]>> = {
  running: ["vllm:num_requests_running", "sglang:num_running_reqs"],
  waiting: ["vllm:num_requests_waiting", "sglang:num_queue_reqs"],
  kvUsage: ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"],
  preemptions: ["vllm:num_preemptions_total", "vllm:num_preemptions", "sglang:num_retracted_reqs"],
};

/** Null when the text has none of them. Several series of a name (data-parallel ranks) add up; of usage, the highest counts. */
export function readLoad(text: string): LoadSample | null {
  const found = new Map<string, number[]>();
  const wanted = new Set(Object.values(names).flat());
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0];
    if (name === undefined || !wanted.has(name)) continue;
    // Label values may hold spaces and braces; the value is what follows the last brace, before a timestamp.
    const value = Number(
      line
        .slice(line.lastIndexOf("}") < 0 ? name.length : line.lastIndexOf("}") + 1)
        .trim()
        .split(/\s+/)[0],
    );
    if (!Number.isFinite(value) || value < 0) continue;
    found.set(name, [...(found.get(name) ?? []), value]);
  }
  if (found.size === 0) return null;
  const valuesOf = (meaning: keyof LoadSample): number[] | undefined => {
    const name = names[meaning].find((candidate) => found.has(candidate));
    return name === undefined ? undefined : found.get(name);
  };
  const sum = (values: number[] | undefined): number | null =>
    values === undefined ? null : values.reduce((total, value) => total + value, 0);
  const usage = valuesOf("kvUsage");
  return {
    running: sum(valuesOf("running")),
    waiting: sum(valuesOf("waiting")),
    kvUsage: usage === undefined ? null : Math.min(1, Math.max(...usage)),
    preemptions: sum(valuesOf("preemptions")),
  };
}
