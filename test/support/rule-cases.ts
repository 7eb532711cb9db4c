/**
 * What Prometheus sees of a cluster, as series of `promtool test rules`, and which alerts fire then.
 *
 * A case is a healthy cluster with some series replaced, so that each says what is wrong and nothing else; what it
 * expects is all that fires.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ruleFiles } from "../../deploy/prometheus/files.js";
import { promtool } from "./prometheus.js";

/** `name{labels}` → what becomes of it, a minute after the other, in promtool's words; null takes it away. */
export type SeriesValues = Readonly<Record<string, string | null>>;

export interface RuleCase {
  series?: SeriesValues;
  /** How long the cluster has been so. Default two hours. */
  minutes?: number;
  /** `Name/severity` of all that fire. */
  firing: readonly string[];
}

const queues = ["prompts", "rollouts", "ballots", "experience"];

/** Minutes between samples: what goes on for days is looked at less often, so that promtool takes seconds for it. */
const stepOf = (minutes: number): number => (minutes > 240 ? 2 : 1);

/** Grows by so much a minute. */
export const growing = (perMinute: number, minutes: number): string =>
  `0+${perMinute * stepOf(minutes)}x${minutes / stepOf(minutes)}`;
export const steady = (value: number | string, minutes: number): string =>
  `${value}x${minutes / stepOf(minutes)}`;

/** A cluster that judges ten groups and takes a step a minute. */
export function healthy(minutes: number): Record<string, string> {
  const up = (perMinute: number): string => growing(perMinute, minutes);
  const at = (value: number): string => steady(value, minutes);
  return {
    'covote_judgments_total{end="complete"}': up(10),
    'covote_judgments_total{end="partial"}': up(0),
    'covote_judgments_total{end="failed"}': up(0),
    covote_judgments_refused_total: up(0),
    'covote_reward_latency_seconds_bucket{le="30"}': up(10),
    'covote_rewards_total{outcome="value"}': up(40),
    'covote_rewards_total{outcome="unparsable"}': up(0),
    'covote_rewards_total{outcome="cancelled"}': up(2),
    'covote_groups_learned_total{end="trained"}': up(8),
    'covote_groups_learned_total{end="stale"}': up(0),
    'covote_groups_learned_total{end="no_spread"}': up(2),
    'covote_engine_available{service="grm-worker",pod="grm-1"}': at(1),
    'covote_engine_running{role="grm",pod="grm-1"}': at(40),
    'covote_engine_slots{role="grm",pod="grm-1"}': at(64),
    'covote_engine_running{role="policy",pod="sampler-1"}': at(40),
    'covote_engine_slots{role="policy",pod="sampler-1"}': at(64),
    'covote_model_announced_version{role="policy",pod="sampler-1"}': up(1),
    'covote_model_version{role="policy",pod="sampler-1"}': up(1),
    'covote_votes_cast_total{outcome="usable"}': up(100),
    'covote_votes_cast_total{outcome="unparsable"}': up(2),
    'covote_meta_scores_total{outcome="scored"}': up(100),
    'covote_meta_scores_total{outcome="failed"}': up(0),
    covote_policy_step_kl_nats: at(0.01),
    covote_policy_kl_nats: at(0.3),
    covote_gradient_norm: at(0.4),
    covote_training_loss: at(-0.02),
    'covote_learner_step{pod="learner-1"}': up(1),
    'covote_learner_planned_steps{pod="learner-1"}': at(100_000),
    'covote_ledger_groups{state="lost"}': at(0),
    'covote_ledger_groups{state="duplicated"}': at(0),
    'covote_ledger_groups{state="submitted"}': up(10),
    'covote_tracing_spans_total{outcome="exported"}': up(1000),
    'covote_tracing_spans_total{outcome="dropped"}': up(0),
    'covote_scaling_leader{pod="co-scaler-1"}': at(1),
    'covote_scaling_leader{pod="co-scaler-2"}': at(0),
    'covote_scaling_blocked{by="metrics_missing"}': at(0),
    'covote_scaling_blocked{by="cooldown"}': at(1),
    'covote_scaling_changes_total{outcome="scaled"}': up(0.1),
    'covote_scaling_changes_total{outcome="failed"}': up(0),
    covote_scaling_problems_total: up(0),
    ...processes(minutes),
    ...Object.fromEntries(queues.flatMap((queue) => Object.entries(queueSeries(queue, minutes)))),
  };
}

function processes(minutes: number): Record<string, string> {
  const services = ["vote-aggregator", "grm-worker", "meta-rm", "policy-sampler", "grpo-learner"];
  return Object.fromEntries(
    services.flatMap((service) => {
      const labels = `job="covote",instance="${service}:9464",service="${service}",pod="${service}-1"`;
      return [
        [`covote_build_info{${labels}}`, steady(1, minutes)],
        [`covote_bus_connected{${labels}}`, steady(1, minutes)],
        [`nodejs_eventloop_lag_p99_seconds{${labels}}`, steady(0.02, minutes)],
      ];
    }),
  );
}

function queueSeries(queue: string, minutes: number): Record<string, string> {
  const of = (metric: string): string => `covote_queue_${metric}{queue="${queue}"}`;
  return {
    // Full at times, and empty between.
    [of("pending_messages")]: Array.from({ length: minutes / stepOf(minutes) + 1 }, (_, i) =>
      i % 3 === 0 ? 0 : 5,
    ).join(" "),
    [of("stranded_messages")]: steady(0, minutes),
    [of("messages")]: steady(10, minutes),
    [of("max_messages")]: steady(1000, minutes),
    [of("size_bytes")]: steady(10_000, minutes),
    [of("max_size_bytes")]: steady(1_000_000, minutes),
    [`covote_dead_letters_total{queue="${queue}"}`]: growing(0, minutes),
  };
}

/** The alerts that fire at the end of the case, each as `Name/severity`. */
export async function expectFiring({ series = {}, minutes = 120, firing }: RuleCase): Promise<void> {
  const all: SeriesValues = { ...healthy(minutes), ...series };
  const input = Object.entries(all).flatMap(([name, values]) =>
    values === null ? [] : [{ series: inCluster(name), values }],
  );
  const exp_samples = [...firing].sort().map((alert) => {
    const [alertname, severity] = alert.split("/");
    return { labels: `{alertname="${alertname}", severity="${severity}"}`, value: 1 };
  });
  const expr = 'max by (alertname, severity) (ALERTS{alertstate="firing"})';
  const promql_expr_test = [{ expr, eval_time: `${minutes}m`, exp_samples }];
  const folder = mkdtempSync(join(tmpdir(), "covote-rules-"));
  try {
    const files = Object.entries(ruleFiles()).map(([name, text]) => {
      writeFileSync(join(folder, name), text);
      return name;
    });
    const test = {
      rule_files: files,
      evaluation_interval: minutes > 240 ? "10m" : "1m",
      // In the order of the files: alerts stand on the records before them.
      tests: [{ interval: `${stepOf(minutes)}m`, input_series: input, promql_expr_test }],
    };
    writeFileSync(join(folder, "test.yaml"), JSON.stringify(test));
    const { code, output } = await promtool(["test", "rules", join(folder, "test.yaml")]);
    if (code !== 0) throw new Error(output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** With the labels that the scrape configuration gives. */
function inCluster(series: string): string {
  const labels = 'cluster="c1",namespace="rl"';
  return series.includes("{") ? series.replace("{", `{${labels},`) : `${series}{${labels}}`;
}
