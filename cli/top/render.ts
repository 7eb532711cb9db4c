/** What `covote top` shows, as pure functions: the cluster's answer and the width of the terminal in, lines out. */
import type { GetScalingResponse, RoleLoad } from "../../lib/wire/gen/covote/v1/cluster.js";
import type { ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";
import { clip, count, decimals, duration, padEnd, plural, type TextStyle } from "../run/text.js";

const unitOf: Readonly<Record<string, string>> = {
  policy: "responses/s",
  grm: "votes/s",
  "meta-rm": "scores/s",
  aggregator: "judgments/s",
  learner: "steps/s",
};

export function renderTop(
  { cluster, loads, decisions, queues }: GetScalingResponse,
  nowMs: number,
  width: number,
  style: TextStyle,
): string[] {
  const last = decisions.at(-1);
  const lines = [
    "",
    `  ${style.bold(`cluster ${cluster}`)}`,
    "",
    style.dim(
      `  ${padEnd("role", 10)}${cells(["up", "taken", "running", "waiting", "tokens/s", "rate"], 9)}`,
    ),
    ...loads.map(loadLine),
    ...(loads.length === 0 ? [`  ${style.dim("no service reports its load")}`] : []),
    "",
    style.dim(`  ${padEnd("queue", 12)}${cells(["waiting", "in flight", "redelivered", "dead"])}`),
    ...queues.map(
      ({ stream, pending, inFlight, redelivered, deadLetters }) =>
        `  ${padEnd(stream, 12)}${cells([pending, inFlight, redelivered, deadLetters].map((n) => count(Number(n))))}`,
    ),
    "",
    ...(last === undefined
      ? [`  ${style.dim("no co-scaler has decided here; scaling.enabled=true starts one")}`]
      : decided(last, nowMs, style)),
    ...decisionLines(decisions, nowMs, style),
    "",
  ];
  return lines.map((line) => clip(line, Math.max(1, width - 1)));
}

function cells(values: readonly string[], width = 12): string {
  return values.map((value) => value.padStart(width)).join("");
}

function loadLine({
  role,
  reporters,
  slots,
  utilisation,
  running,
  waiting,
  tokensPerS,
  itemsPerS,
}: RoleLoad): string {
  const share = utilisation === undefined ? "–" : `${decimals(100 * utilisation, 0)} %`;
  const taken = slots === 0 ? "" : share;
  const speed = slots === 0 ? "" : tokensPerS === undefined ? "–" : count(tokensPerS);
  const rate = itemsPerS === undefined ? "–" : decimals(itemsPerS, itemsPerS < 10 ? 2 : 0);
  const figures = [count(reporters), taken, count(running), slots === 0 ? "" : count(waiting), speed, rate];
  return `  ${padEnd(role, 10)}${cells(figures, 9)} ${unitOf[role] ?? ""}`.trimEnd();
}

/** The pools as the last decision found them. */
function decided(decision: ScalingDecision, nowMs: number, style: TextStyle): string[] {
  const { actuator, dryRun, budgetGpus, votes, pools, now, best, decidedBy } = decision;
  const who = `${decidedBy}, ${actuator}${dryRun ? ", dry run" : ""}`;
  const about = [
    ...(budgetGpus > 0 ? [`${plural(budgetGpus, "GPU")}`] : []),
    ...(votes > 0 ? [`${plural(votes, "vote")} a response`] : []),
    ...(now === undefined ? [] : [`${count(now.stepsPerHour)} steps/h, limited by ${now.limit}`]),
    ...(best === undefined || now === undefined ? [] : [`best split ${count(best.stepsPerHour)}`]),
  ];
  return [
    `  ${style.bold("co-scaler")}  ${style.dim(`${who}, ${ago(decision.lastAtMs, nowMs)}`)}`,
    ...(about.length === 0 ? [] : [`  ${about.join("   ")}`]),
    "",
    style.dim(`  ${padEnd("pool", 12)}${cells(["replicas", "ready", "there", "target", "GPUs", "backlog"])}`),
    ...pools.map(({ pool, replicas, ready, present, target, gpusPerReplica, backlogItems }) => {
      const goal = target === replicas ? String(target) : `${target} ←`;
      const backlog = backlogItems === undefined ? "–" : count(backlogItems);
      const held = String(Math.max(present, replicas) * gpusPerReplica);
      return `  ${padEnd(pool, 12)}${cells([String(replicas), String(ready), String(present), goal, held, backlog])}`;
    }),
    "",
  ];
}

function decisionLines(decisions: readonly ScalingDecision[], nowMs: number, style: TextStyle): string[] {
  return [...decisions].reverse().map((decision) => {
    const { atMs, repeats } = decision;
    const times = repeats === 0 ? "" : style.dim(`  (${count(repeats + 1)} times)`);
    return `  ${style.dim(padEnd(ago(atMs, nowMs), 12))} ${whatOf(decision, style)}${times}`;
  });
}

/** `policy 4→3, grm waits for 1: rebalanced` */
function whatOf(decision: ScalingDecision, style: TextStyle): string {
  const { reason, blockedBy, detail, problem, actions } = decision;
  if (problem !== "") return `${style.accent("held")}: ${problem}`;
  const changes = actions.map(({ pool, from, to, outcome, detail: why }) => {
    if (outcome === "waits") return `${pool} waits for ${to - from} more`;
    const change = `${pool} ${from}→${to}`;
    if (outcome === "failed") return `${change} failed (${why})`;
    return outcome === "would_scale" ? `would ${change}` : change;
  });
  const why = blockedBy === "" ? reason : `${reason} by ${blockedBy}`;
  const about = detail === "" ? why : `${why} (${detail})`;
  return changes.length === 0 ? about : `${style.bold(changes.join(", "))}: ${about}`;
}

function ago(atMs: number, nowMs: number): string {
  return `${duration(Math.max(0, (nowMs - atMs) / 1000))} ago`;
}

export function topForMachines({ cluster, loads, decisions, queues }: GetScalingResponse): object {
  return {
    cluster,
    loads: loads.map((load) => ({
      role: load.role,
      reporters: load.reporters,
      slots: load.slots,
      running: load.running,
      waiting: load.waiting,
      utilisation: load.utilisation ?? null,
      tokens_per_s: load.tokensPerS ?? null,
      items_per_s: load.itemsPerS ?? null,
      age_ms: load.ageMs ?? null,
    })),
    queues: queues.map(({ stream, pending, inFlight, redelivered, deadLetters }) => ({
      queue: stream,
      pending: Number(pending),
      in_flight: Number(inFlight),
      redelivered: Number(redelivered),
      dead_letters: Number(deadLetters),
    })),
    decisions: decisions.map(decisionForMachines),
  };
}

function decisionForMachines(decision: ScalingDecision): object {
  return {
    id: decision.decisionId,
    at_ms: decision.atMs,
    last_at_ms: decision.lastAtMs,
    repeats: decision.repeats,
    decided_by: decision.decidedBy,
    actuator: decision.actuator,
    dry_run: decision.dryRun,
    reason: decision.reason,
    blocked_by: decision.blockedBy || null,
    detail: decision.detail || null,
    problem: decision.problem || null,
    moved: decision.moved,
    budget_gpus: decision.budgetGpus,
    votes_in_force: decision.votesInForce,
    votes: decision.votes,
    vote_reason: decision.voteReason,
    steps_per_hour: decision.now?.stepsPerHour ?? null,
    limit: decision.now?.limit ?? null,
    best_steps_per_hour: decision.best?.stepsPerHour ?? null,
    switch_ms: decision.switchMs,
    pools: decision.pools.map((pool) => ({
      pool: pool.pool,
      replicas: pool.replicas,
      ready: pool.ready,
      present: pool.present,
      target: pool.target,
      gpus_per_replica: pool.gpusPerReplica,
      utilisation: pool.utilisation ?? null,
      tokens_per_s: pool.tokensPerS ?? null,
      backlog: pool.backlogItems ?? null,
      age_ms: pool.ageMs ?? null,
      replica_seconds_per_step: pool.replicaSecondsPerStep ?? null,
    })),
    actions: decision.actions,
  };
}
