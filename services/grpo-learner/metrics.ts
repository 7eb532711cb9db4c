/** What a learner tells Prometheus. Gauges are of the last step; those of the trainer, of the last that trained. */
import { nullReasons } from "../../lib/core/null-reason.js";
import { type DropReason, dropReasons, type LedgerBalance } from "../../lib/grpo/ledger.js";
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";
import type { GroupMetrics } from "./group-metrics.js";

export type LearnerMetrics = ReturnType<typeof learnerMetrics>;

/** In the order of a step: waiting for its groups, training, keeping the state, publishing, asking for more. */
export const stepPhases = ["wait", "train", "keep", "publish", "ask"] as const;
export type StepPhase = (typeof stepPhases)[number];

export interface TakenStep {
  step: number;
  groups: GroupMetrics;
  /** One per group: why it was not trained on, or null. */
  dropped: readonly (DropReason | null)[];
  /** The trainer's figures; empty when there was nothing to train on. */
  report: Readonly<Record<string, number>>;
  learningRate: number;
  ledger: LedgerBalance;
  phasesMs: Readonly<Record<StepPhase, number>>;
}

const reported = {
  kl: { name: "covote_policy_kl_nats", help: "KL to the reference, per token" },
  old_kl: { name: "covote_policy_step_kl_nats", help: "KL to the weights that sampled, per token" },
  entropy: { name: "covote_policy_entropy_nats", help: "Entropy of the policy, per token" },
  clip_fraction: { name: "covote_policy_clip_ratio", help: "Share of tokens that the clip cut off, 0 to 1" },
  truncated_fraction: {
    name: "covote_policy_truncated_ratio",
    help: "Share of tokens above the cap of the importance weights, 0 to 1",
  },
  ratio_mean: { name: "covote_policy_importance_ratio", help: "Mean importance ratio of the tokens" },
  grad_norm: { name: "covote_gradient_norm", help: "Global norm of the gradient, before it is cut" },
  loss: { name: "covote_training_loss", help: "The loss that was trained on" },
} as const;

const ledgerStates = ["submitted", "judged", "trained", "open", "lost", "duplicated", "repeated"] as const;

export function learnerMetrics(metrics: Metrics, plan: { steps: number; maxStaleness: number }) {
  const gauge = (name: string, help: string) => metrics.gauge({ name, help });
  const step = gauge("covote_learner_step", "Optimiser steps taken");
  gauge("covote_learner_planned_steps", "Optimiser steps after which the run ends").set(plan.steps);
  const groups = metrics.counter({
    name: "covote_groups_learned_total",
    help: "Groups taken from the queue; end is trained, or why the group was dropped",
    labels: { end: ["trained", ...dropReasons] },
  });
  const nulls = metrics.counter({
    name: "covote_null_rewards_total",
    help: "Responses masked for a null reward, by its reason",
    labels: { reason: nullReasons },
  });
  const staleness = gauge("covote_staleness_versions", "Mean policy versions between sampling and training");
  const stalest = gauge(
    "covote_staleness_max_versions",
    "Most policy versions between sampling and training",
  );
  gauge("covote_staleness_limit_versions", "Policy versions beyond which a group is dropped").set(
    plan.maxStaleness,
  );
  const reward = gauge("covote_reward_mean_points", "Mean reward");
  const deviation = gauge("covote_reward_stddev_points", "Standard deviation of the rewards");
  const responseTokens = gauge("covote_response_mean_tokens", "Mean length of a response, in tokens");
  const rate = gauge("covote_learning_rate", "Learning rate");
  const trainer = Object.entries(reported).map(([key, { name, help }]) => ({
    key,
    gauge: gauge(name, help),
  }));
  const tokens = metrics.counter({
    name: "covote_trained_tokens_total",
    help: "Response tokens that gave a gradient",
  });
  const seconds = metrics.histogram({
    name: "covote_step_seconds",
    help: "A step by phase: wait (for its groups), train, keep (the state), publish (the weights), ask (for prompts)",
    labels: { phase: stepPhases },
    buckets: latencySecondsBuckets,
  });
  const ledger = metrics.gauge({
    name: "covote_ledger_groups",
    help: "Groups of the run by what is known of them; lost and duplicated ones are faults",
    labels: { state: ledgerStates },
  });
  return {
    /** Before the first step of this life. */
    begun: (at: number, balance: LedgerBalance): void => {
      step.set(at);
      for (const state of ledgerStates) ledger.set(balance[state], { state });
    },
    stepped: (taken: TakenStep): void => {
      step.set(taken.step);
      for (const reason of taken.dropped) groups.inc(1, { end: reason ?? "trained" });
      for (const reason of nullReasons) nulls.inc(taken.groups[`nulls_${reason}`] ?? 0, { reason });
      staleness.set(taken.groups.staleness_mean);
      stalest.set(taken.groups.staleness_max);
      reward.set(taken.groups.reward_mean);
      deviation.set(taken.groups.reward_sd);
      responseTokens.set(taken.groups.response_tokens_mean);
      rate.set(taken.learningRate);
      for (const { key, gauge: told } of trainer) {
        const value = taken.report[key];
        if (value !== undefined) told.set(value);
      }
      const trained = taken.report.tokens;
      if (trained !== undefined && trained > 0) tokens.inc(trained);
      for (const phase of stepPhases) seconds.observe(taken.phasesMs[phase] / 1000, { phase });
      for (const state of ledgerStates) ledger.set(taken.ledger[state], { state });
    },
  };
}
