/** *Co-scaling*: where do the GPUs go, why, and is that right? */
import { type DashboardSpec, graph, number, of, rate } from "./panels.js";

const byPool = (metric: string, how = "max"): string => `${how} by (pool) (${of(metric)})`;
const busy = `sum by (role) (${rate("covote_engine_busy_seconds_total")}) / count by (role) (${of("covote_engine_slots")})`;

export const coScaling: DashboardSpec = {
  uid: "covote-co-scaling",
  title: "covote / Co-scaling",
  description:
    "One GPU budget for the policy, the reward model and the meta RM: where it goes, why, and whether that is right.",
  from: "now-6h",
  sections: [
    {
      title: "What holds now?",
      panels: [
        number({
          title: "Budget in use",
          description: "Share of the GPU budget that the pools hold, replicas that start or drain included.",
          unit: "percentunit",
          max: 1,
          queries: [
            {
              expr: `sum(${byPool("covote_scaling_gpus")}) / max(${of("covote_scaling_budget_gpus")})`,
              legend: "in use",
            },
          ],
        }),
        number({
          title: "Votes on a response",
          description:
            "k, as it is decided: fewer when judging is the bottleneck, more when the reward model idles.",
          unit: "short",
          queries: [{ expr: `max(${of("covote_scaling_votes")})`, legend: "k" }],
        }),
        number({
          title: "Leaders",
          description:
            "Co-scalers that may act: 1. None: nobody scales; the pools stay as they are. Two: look at the lease.",
          unit: "short",
          limits: { warn: 1, bad: 0.5, below: true },
          queries: [{ expr: `sum(${of("covote_scaling_leader")})`, legend: "leaders" }],
        }),
        number({
          title: "Oldest measurement",
          description:
            "Of any pool. Old figures are not acted upon (scaling.staleAfterMs): see whether that pool reports.",
          unit: "s",
          limits: { warn: 30, bad: 180 },
          queries: [{ expr: `max(${of("covote_scaling_measurement_age_seconds")})`, legend: "age" }],
        }),
        number({
          title: "Changes, 1 h",
          description:
            "Replicas scaled. More than six an hour in steady state: raise scaling.hysteresis or the cool-downs.",
          unit: "short",
          limits: { warn: 6, bad: 20 },
          queries: [
            {
              expr: `sum(increase(${of("covote_scaling_changes_total", 'outcome="scaled"')}[1h]))`,
              legend: "changes",
            },
          ],
        }),
        number({
          title: "Problems, 1 h",
          description: "Times that nothing could be read, decided or kept. covote top and the log say why.",
          unit: "short",
          limits: { bad: 1 },
          queries: [
            { expr: `sum(increase(${of("covote_scaling_problems_total")}[1h]))`, legend: "problems" },
          ],
        }),
      ],
    },
    {
      title: "The split",
      panels: [
        graph({
          title: "GPUs by pool",
          description: "What each pool holds, of the budget.",
          unit: "short",
          stacked: true,
          min: 0,
          queries: [{ expr: byPool("covote_scaling_gpus"), legend: "{{pool}}" }],
        }),
        graph({
          title: "Replicas by pool",
          description:
            "asked for and ready apart for long: pods do not start (GPUs, images, models). To be and asked for apart: " +
            "GPUs are still held by what drains.",
          unit: "short",
          min: 0,
          queries: [
            { expr: byPool("covote_scaling_desired_replicas"), legend: "{{pool}}: to be" },
            { expr: byPool("covote_scaling_wanted_replicas"), legend: "{{pool}}: asked for" },
            { expr: byPool("covote_scaling_ready_replicas"), legend: "{{pool}}: ready" },
          ],
        }),
        graph({
          title: "Work of a step by pool",
          description:
            "Replica-seconds that a learner's step takes of each pool: what the split follows. It drifts with lengths.",
          unit: "s",
          min: 0,
          queries: [{ expr: byPool("covote_scaling_work_replica_seconds"), legend: "{{pool}}" }],
        }),
      ],
    },
    {
      title: "Why?",
      panels: [
        graph({
          title: "Decisions by reason",
          description:
            "A second. held: figures are missing or not believed; blocked: a better split is known and may not be yet.",
          unit: "reqps",
          stacked: true,
          width: 6,
          queries: [
            { expr: `sum by (reason) (${rate("covote_scaling_decisions_total")})`, legend: "{{reason}}" },
          ],
        }),
        graph({
          title: "What stands in the way",
          description: "1 for what blocks or holds the split now.",
          unit: "short",
          min: 0,
          width: 6,
          queries: [{ expr: `max by (by) (${of("covote_scaling_blocked")})`, legend: "{{by}}" }],
        }),
        graph({
          title: "Changes by outcome",
          description:
            "A second. would_scale: a dry run; waits: for GPUs; failed: the API server refused or was away.",
          unit: "reqps",
          stacked: true,
          width: 6,
          queries: [
            { expr: `sum by (outcome) (${rate("covote_scaling_changes_total")})`, legend: "{{outcome}}" },
          ],
        }),
        graph({
          title: "What a switch costs",
          description: "Seconds that a new replica is expected to take to get ready, as it was measured.",
          unit: "s",
          min: 0,
          width: 6,
          queries: [{ expr: `max(${of("covote_scaling_switch_seconds")})`, legend: "switch" }],
        }),
      ],
    },
    {
      title: "Is it right?",
      panels: [
        graph({
          title: "Engines busy",
          description:
            "Share of the time with at least one request. One role idle while another's backlog grows: GPUs are wrong.",
          unit: "percentunit",
          min: 0,
          max: 1,
          queries: [{ expr: busy, legend: "{{role}}" }],
        }),
        graph({
          title: "Places taken in engines",
          description:
            "Requests that run, of those that could. Near 1 with requests waiting: the role is the bottleneck.",
          unit: "percentunit",
          min: 0,
          queries: [
            {
              expr: `sum by (role) (${of("covote_engine_running")}) / sum by (role) (${of("covote_engine_slots")})`,
              legend: "{{role}}",
            },
          ],
        }),
        graph({
          title: "Backlog in front of the engines",
          description:
            "prompts wait for the policy, ballots for the reward model; and what is queued inside engines.",
          unit: "short",
          min: 0,
          queries: [
            {
              expr: `max by (queue) (${of("covote_queue_pending_messages", 'queue=~"prompts|ballots"')})`,
              legend: "{{queue}}",
            },
            { expr: `sum by (role) (${of("covote_engine_waiting")})`, legend: "in the engines: {{role}}" },
          ],
        }),
        graph({
          title: "The learner waits",
          description:
            "Share of its time that it waits for groups. Near 0: it is the bottleneck, and more GPUs do not help.",
          unit: "percentunit",
          min: 0,
          max: 1,
          queries: [
            {
              expr: `sum(${rate("covote_step_seconds_sum", 'phase="wait"')}) / sum(${rate("covote_step_seconds_sum")})`,
              legend: "waits",
            },
          ],
        }),
        graph({
          title: "Tokens a second by role",
          description: "What the engines take in and write.",
          unit: "short",
          min: 0,
          queries: [
            {
              expr: `sum by (role, kind) (${rate("covote_engine_tokens_total")})`,
              legend: "{{role}}: {{kind}}",
            },
          ],
        }),
        graph({
          title: "Workers without an engine",
          description:
            "GRM workers that take no ballots because their engine is gone. Look at the side-car or the endpoint.",
          unit: "short",
          min: 0,
          limits: { bad: 1 },
          queries: [
            {
              expr: `count(${of("covote_engine_available")}) - sum(${of("covote_engine_available")})`,
              legend: "workers",
            },
          ],
        }),
      ],
    },
    {
      title: "Engines on servers",
      panels: [
        graph({
          title: "Endpoints by state",
          description:
            "suspect: it failed lately; out: it gets nothing but probes. Empty where engines are embedded.",
          unit: "short",
          stacked: true,
          min: 0,
          width: 6,
          queries: [{ expr: `sum by (state) (${of("covote_engine_endpoint_state")})`, legend: "{{state}}" }],
        }),
        graph({
          title: "Load of endpoints",
          description: "Requests in flight, of those that each endpoint gets as its load permits.",
          unit: "percentunit",
          min: 0,
          width: 6,
          queries: [
            {
              expr: `max by (endpoint) (${of("covote_engine_endpoint_running")} / ${of("covote_engine_endpoint_limit")})`,
              legend: "{{endpoint}}",
            },
          ],
        }),
        graph({
          title: "Requests by outcome",
          description:
            "A second, retries and hedges included. failed: a fault of the server; overloaded: it is full.",
          unit: "reqps",
          stacked: true,
          width: 6,
          queries: [
            { expr: `sum by (outcome) (${rate("covote_engine_attempts_total")})`, legend: "{{outcome}}" },
          ],
        }),
        graph({
          title: "Retries and hedges",
          description:
            "A second. Both are bounded shares of the requests; at their bound, endpoints are in trouble.",
          unit: "reqps",
          width: 6,
          queries: [
            { expr: `sum(${rate("covote_engine_retries_total")})`, legend: "retries" },
            { expr: `sum(${rate("covote_engine_hedges_total")})`, legend: "hedges" },
          ],
        }),
      ],
    },
  ],
};
