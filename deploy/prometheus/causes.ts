/** Alerts on causes: what is about to cost rewards, or to spoil what is learned from them. */
import { type AlertingRule, installation, type RuleGroup, runbookOf, type Severity } from "./rule.js";

interface Cause {
  alert: string;
  severity: Severity;
  expr: string;
  for?: string;
  summary: string;
  description: string;
}

const sum = (metric: string, window: string, by = installation): string =>
  `sum by (${by}) (increase(${metric}[${window}]))`;
const queues = `${installation}, queue`;

/** Share of some events in all, said only where there were enough of them. */
function shareAbove(share: number, of: string, all: string, window: string, fewest: number): string {
  return `${sum(of, window)} / ${sum(all, window)} > ${share}\nand ${sum(all, window)} >= ${fewest}`;
}

const engines: Cause[] = [
  {
    alert: "CovoteEngineOut",
    severity: "page",
    expr: `min by (${installation}, service, pod, instance) (covote_engine_available) == 0`,
    for: "2m",
    summary: "The engine of {{ $labels.service }} {{ or $labels.pod $labels.instance }} is gone",
    description:
      "The worker takes no ballots until its engine answers again; others cast its votes, if there are any.",
  },
  {
    alert: "CovoteGpuIdleWithBacklog",
    severity: "ticket",
    expr: [
      idleBehind("ballots", "grm"),
      // A sampler holds prompts that wait for newer weights in hand, so that these are no backlog.
      idleBehind("prompts", "policy"),
    ].join("\nor\n"),
    for: "10m",
    summary: "Engines of the role {{ $labels.role }} stand idle while their queue holds work",
    description: "{{ $value | humanizePercentage }} of the slots run, and work has waited all the time.",
  },
  {
    alert: "CovoteWeightsBehind",
    severity: "ticket",
    // Who follows fast steps is always a little behind.
    expr:
      `max by (${installation}, service, pod, instance, role) (\n` +
      "  covote_model_announced_version - covote_model_version > 0 and changes(covote_model_version[15m]) == 0\n)",
    for: "5m",
    summary: "{{ $labels.service }} {{ or $labels.pod $labels.instance }} does not take up new weights",
    description: "It serves weights that are {{ $value }} versions old for the role {{ $labels.role }}.",
  },
];

const queuesAndBus: Cause[] = [
  {
    alert: "CovoteStrandedMessages",
    severity: "page",
    expr: `max by (${queues}) (covote_queue_stranded_messages) > 0`,
    for: "10m",
    summary: "The queue {{ $labels.queue }} holds items that nobody will get",
    description: "{{ $value }} items are stored and neither wait for a consumer nor are in hand.",
  },
  {
    alert: "CovoteDeadLetters",
    severity: "ticket",
    expr: `${sum("covote_dead_letters_total", "15m", queues)} > 0`,
    summary: "Items of the queue {{ $labels.queue }} became dead letters",
    description: "{{ $value | humanize }} in 15 minutes: malformed, or given up after several deliveries.",
  },
  {
    alert: "CovoteQueueNearlyFull",
    severity: "page",
    expr: [
      `max by (${queues}) (covote_queue_messages / (covote_queue_max_messages > 0)) > 0.8`,
      `max by (${queues}) (covote_queue_size_bytes / (covote_queue_max_size_bytes > 0)) > 0.8`,
    ].join("\nor\n"),
    for: "10m",
    summary: "The queue {{ $labels.queue }} is nearly full",
    description:
      "{{ $value | humanizePercentage }} of what it may hold; a full one refuses more as overloaded.",
  },
  {
    alert: "CovoteBusDisconnected",
    severity: "page",
    expr: `min by (${installation}, service, pod, instance) (covote_bus_connected) == 0`,
    for: "1m",
    summary: "{{ $labels.service }} {{ or $labels.pod $labels.instance }} has no connection to NATS",
    description: "It waits, and gives up after nats.outageTimeoutMs.",
  },
];

const judging: Cause[] = [
  {
    alert: "CovoteVotesUnparsable",
    severity: "ticket",
    expr: shareAbove(
      0.2,
      'covote_votes_cast_total{outcome="unparsable"}',
      "covote_votes_cast_total",
      "15m",
      50,
    ),
    for: "10m",
    summary: "Judgments of the reward model cannot be read",
    description: "{{ $value | humanizePercentage }} of its votes are unparsable.",
  },
  {
    alert: "CovoteMetaRmFailing",
    severity: "ticket",
    expr: shareAbove(
      0.1,
      'covote_meta_scores_total{outcome="failed"}',
      "covote_meta_scores_total",
      "15m",
      50,
    ),
    for: "10m",
    summary: "The meta RM does not score the votes that it is asked about",
    description:
      "{{ $value | humanizePercentage }} stay without a meta score, and are tallied as plain votes.",
  },
];

const learning: Cause[] = [
  {
    alert: "CovotePolicyKlHigh",
    severity: "ticket",
    expr: "covote_policy_step_kl_nats > 0.1\nor\ncovote_policy_kl_nats > 2",
    for: "5m",
    summary: "The policy runs away from where it was",
    description:
      "KL of {{ $value | humanize }} nats a token, to the weights that sampled (0.1) or to the reference (2).",
  },
  {
    alert: "CovoteTrainingNotFinite",
    severity: "page",
    expr: ["covote_gradient_norm", "covote_training_loss", "covote_policy_kl_nats"]
      .flatMap((metric) => [`${metric} != ${metric}`, `abs(${metric}) == Inf`])
      .join("\nor\n"),
    summary: "The learner computes no numbers any more",
    description: "Gradient norm, loss or KL is {{ $value }}; what is trained from here on is lost.",
  },
  {
    alert: "CovoteNoSpread",
    severity: "ticket",
    expr: shareAbove(
      0.8,
      'covote_groups_learned_total{end="no_spread"}',
      "covote_groups_learned_total",
      "1h",
      50,
    ),
    for: "10m",
    summary: "Rewards within groups do not differ, so that nothing is learned from them",
    description: "{{ $value | humanizePercentage }} of the groups of an hour were dropped for it.",
  },
  {
    alert: "CovoteLearnerStalled",
    severity: "page",
    expr: "changes(covote_learner_step[10m]) == 0\nand covote_learner_step < covote_learner_planned_steps",
    for: "30m",
    summary: "The learner takes no steps",
    description:
      "It stands still before its last planned step, at step {{ with printf `covote_learner_step{pod=%q}` $labels.pod | query }}{{ . | first | value }}{{ end }}.",
  },
  {
    alert: "CovoteGroupsLost",
    severity: "page",
    expr: `max by (${installation}, state) (covote_ledger_groups{state=~"lost|duplicated"}) > 0`,
    summary: "Groups of a run are {{ $labels.state }}",
    description: "{{ $value }} of them. A promise of covote is broken: please report it.",
  },
];

const coScaling: Cause[] = [
  {
    alert: "CovoteCoScalerNoLeader",
    severity: "page",
    expr: `sum by (${installation}) (covote_scaling_leader) != 1`,
    for: "5m",
    summary: "{{ $value }} co-scalers lead, and it should be one",
    description: "Without a leader the split of the GPUs stays as it is.",
  },
  {
    alert: "CovoteCoScalerBlocked",
    severity: "ticket",
    // Cool-downs, hysteresis and switches under way are as they should be.
    expr: [
      `max by (${installation}) (covote_scaling_blocked{by=~"metrics_missing|metrics_stale|metrics_jumped"}) > 0`,
      `${sum('covote_scaling_changes_total{outcome="failed"}', "15m")} > 0`,
      `${sum("covote_scaling_problems_total", "15m")} > 0`,
    ].join("\nor\n"),
    for: "15m",
    summary: "The co-scaler cannot decide, or not carry out what it decides",
    description: "It holds the split that there is; its log and its events say what is missing.",
  },
];

const processes: Cause[] = [
  {
    alert: "CovoteEventLoopSlow",
    severity: "ticket",
    // Other programs of Node tell the same.
    expr: "nodejs_eventloop_lag_p99_seconds > 0.5\nand on (job, instance) covote_build_info",
    for: "10m",
    summary: "{{ $labels.service }} {{ or $labels.pod $labels.instance }} does not keep up",
    description:
      "Its event loop is {{ $value | humanizeDuration }} late (p99); deadlines and votes wait for it.",
  },
  {
    alert: "CovoteServiceGone",
    severity: "page",
    // A learner ends when its run does.
    expr:
      `count by (${installation}, service) (covote_build_info{service!="grpo-learner"} offset 30m)\n` +
      `unless count by (${installation}, service) (covote_build_info)`,
    for: "5m",
    summary: "No process of {{ $labels.service }} is left",
    description: "It was there half an hour ago, and Prometheus finds none now.",
  },
  {
    alert: "CovoteMetricsMissing",
    severity: "page",
    expr: "absent(covote_build_info)",
    for: "10m",
    summary: "Prometheus has no metrics of covote",
    description: "No other alert of covote can fire until it has.",
  },
  {
    alert: "CovoteSpansLost",
    severity: "ticket",
    expr: shareAbove(
      0.1,
      'covote_tracing_spans_total{outcome!="exported"}',
      "covote_tracing_spans_total",
      "30m",
      100,
    ),
    for: "30m",
    summary: "Traces have holes",
    description: "{{ $value | humanizePercentage }} of the spans were dropped or refused.",
  },
];

function idleBehind(queue: string, role: string): string {
  const running = `sum by (${installation}, role) (avg_over_time(covote_engine_running{role="${role}"}[10m]))`;
  const slots = `sum by (${installation}, role) (covote_engine_slots{role="${role}"})`;
  const waiting = `max by (${installation}) (min_over_time(covote_queue_pending_messages{queue="${queue}"}[10m])) > 0`;
  return `${running} / ${slots} < 0.3\nand on (${installation}) ${waiting}`;
}

function toRule({ alert, severity, expr, for: held, summary, description }: Cause): AlertingRule {
  return {
    alert,
    expr,
    ...(held === undefined ? {} : { for: held }),
    labels: { severity },
    annotations: { summary, description, runbook_url: runbookOf(alert) },
  };
}

const named: Record<string, Cause[]> = {
  engines,
  queues: queuesAndBus,
  judging,
  learning,
  "co-scaling": coScaling,
  processes,
};

export const causeGroups: readonly RuleGroup[] = Object.entries(named).map(([name, causes]) => ({
  name: `covote-${name}`,
  rules: causes.map(toRule),
}));
