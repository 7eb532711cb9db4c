/** What a co-scaler tells Prometheus. */
import type { Metrics } from "../../lib/host/metrics.js";
import type { ReportFate } from "../../lib/runtime/load-watch.js";
import { scalingBlocks, scalingReasons } from "../../lib/scaling/decision.js";
import { poolNames } from "../../lib/scaling/observation.js";
import type { ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";

const reportFates = [
  "taken",
  "repeated",
  "reset",
  "refused",
  "unreadable",
] as const satisfies readonly ReportFate[];
const outcomes = ["scaled", "would_scale", "waits", "failed"] as const;

export type CoScalerMetrics = ReturnType<typeof coScalerMetrics>;

export function coScalerMetrics(metrics: Metrics) {
  const decisions = metrics.counter({
    name: "covote_scaling_decisions_total",
    help: "Decisions of this co-scaler, by their reason",
    labels: { reason: scalingReasons },
  });
  const blocked = metrics.gauge({
    name: "covote_scaling_blocked",
    help: "1 for what stands in the way of another split now",
    labels: { by: scalingBlocks },
  });
  const changes = metrics.counter({
    name: "covote_scaling_changes_total",
    help: "Changes of pools: scaled, would_scale (dry run), waits (for GPUs that are held yet), failed",
    labels: { pool: poolNames, outcome: outcomes },
  });
  const problems = metrics.counter({
    name: "covote_scaling_problems_total",
    help: "Times that nothing could be read, decided or kept; the event says why",
  });
  const reports = metrics.counter({
    name: "covote_scaling_load_reports_total",
    help: "Load reports that came; refused ones have figures that are none, reset ones sums that shrank",
    labels: { fate: reportFates },
  });
  const gauge = (name: string, help: string) => metrics.gauge({ name, help, labels: { pool: poolNames } });
  const desired = gauge("covote_scaling_desired_replicas", "Replicas that a pool is to have");
  const wanted = gauge("covote_scaling_wanted_replicas", "Replicas that a pool is asked for");
  const ready = gauge("covote_scaling_ready_replicas", "Replicas of a pool that work");
  const gpus = gauge("covote_scaling_gpus", "GPUs that a pool holds, replicas that start or drain included");
  const age = gauge("covote_scaling_measurement_age_seconds", "Age of the newest load report of a pool");
  const work = gauge(
    "covote_scaling_work_replica_seconds",
    "Replica-seconds that a learner's step takes of a pool",
  );
  const budget = metrics.gauge({
    name: "covote_scaling_budget_gpus",
    help: "GPUs that the pools may have together",
  });
  const votes = metrics.gauge({
    name: "covote_scaling_votes",
    help: "Votes on every response that are decided (k)",
  });
  const switching = metrics.gauge({
    name: "covote_scaling_switch_seconds",
    help: "What a new replica is expected to take to get ready",
  });
  const leader = metrics.gauge({ name: "covote_scaling_leader", help: "1 for the co-scaler that may act" });
  leader.set(0);
  return {
    reported: (fate: ReportFate): void => reports.inc(1, { fate }),
    leads: (leads: boolean): void => leader.set(leads ? 1 : 0),
    decided: (decision: ScalingDecision): void => {
      const { reason, blockedBy, problem } = decision;
      if (problem !== "") problems.inc(1);
      const known = scalingReasons.find((one) => one === reason);
      if (known !== undefined) decisions.inc(1, { reason: known });
      for (const by of scalingBlocks) blocked.set(by === blockedBy ? 1 : 0, { by });
      for (const action of decision.actions) {
        const pool = poolNames.find((name) => name === action.pool);
        const outcome = outcomes.find((name) => name === action.outcome);
        if (pool !== undefined && outcome !== undefined) changes.inc(1, { pool, outcome });
      }
      for (const pool of poolNames) {
        const told = decision.pools.find((one) => one.pool === pool);
        if (told === undefined) continue;
        desired.set(told.target, { pool });
        wanted.set(told.replicas, { pool });
        ready.set(told.ready, { pool });
        gpus.set(Math.max(told.present, told.replicas) * told.gpusPerReplica, { pool });
        if (told.ageMs === undefined) age.remove({ pool });
        else age.set(told.ageMs / 1000, { pool });
        if (told.replicaSecondsPerStep !== undefined) work.set(told.replicaSecondsPerStep, { pool });
      }
      // Without a decision there are none to tell.
      if (decision.budgetGpus === 0) return;
      budget.set(decision.budgetGpus);
      votes.set(decision.votes);
      switching.set(decision.switchMs / 1000);
    },
  };
}
