/** *Reward SLO*: do rewards arrive, in time, and are they any good? */
import { type DashboardSpec, graph, mean, number, of, quantile, rate } from "./panels.js";

const withinT =
  `sum(${rate("covote_reward_latency_seconds_bucket", 'le="$target"')})` +
  ` / sum(${rate("covote_reward_latency_seconds_count")})`;
/** Rewards that are null through no choice of the caller. */
const failures = 'outcome!~"value|cancelled"';
const nullShare = `sum(${rate("covote_rewards_total", failures)}) / sum(${rate("covote_rewards_total", 'outcome!="cancelled"')})`;

export const rewardSlo: DashboardSpec = {
  uid: "covote-reward-slo",
  title: "covote / Reward SLO",
  description: "Do rewards arrive, in time, and are they any good? Read from the top: symptom, then cause.",
  choices: [
    {
      name: "target",
      label: "in time (s)",
      description:
        "A reward that takes longer than this many seconds is late; a bucket of the latency histogram",
      values: ["30", "1", "2.5", "5", "10", "60", "180"],
    },
    {
      name: "objective",
      label: "objective",
      description: "Share of rewards that have to be in time",
      values: ["0.99", "0.9", "0.95", "0.999"],
    },
  ],
  sections: [
    {
      title: "Do rewards arrive?",
      panels: [
        number({
          title: "In time",
          description: "Share of judgments that ended within the chosen time. The SLO itself.",
          unit: "percentunit",
          limits: { warn: 0.99, bad: 0.95, below: true },
          max: 1,
          queries: [{ expr: withinT, legend: "in time" }],
        }),
        number({
          title: "Burn rate, 1 h",
          description:
            "How fast the error budget of the chosen objective is spent: 1 spends exactly all of it. Beyond 14.4 a " +
            "thirty-day budget is gone in two days.",
          unit: "short",
          limits: { warn: 1, bad: 14.4 },
          queries: [
            {
              expr:
                `(1 - sum(rate(${of("covote_reward_latency_seconds_bucket", 'le="$target"')}[1h]))` +
                ` / sum(rate(${of("covote_reward_latency_seconds_count")}[1h]))) / (1 - $objective)`,
              legend: "burn rate",
            },
          ],
        }),
        number({
          title: "Null rewards",
          description:
            "Share of responses without a reward, those that the caller cancelled left out. See the reasons below.",
          unit: "percentunit",
          limits: { warn: 0.01, bad: 0.05 },
          queries: [{ expr: nullShare, legend: "null" }],
        }),
        number({
          title: "Latency p99",
          description: "99 of 100 judgments end within this time, from acceptance to the rewards.",
          unit: "s",
          queries: [{ expr: quantile(0.99, "covote_reward_latency_seconds"), legend: "p99" }],
        }),
        number({
          title: "Rewards",
          description:
            "Responses answered a second. None at all, with judgments in flight: look at the votes.",
          unit: "reqps",
          queries: [{ expr: `sum(${rate("covote_rewards_total")})`, legend: "rewards" }],
        }),
        number({
          title: "Judgments in flight",
          description: "Share of the places that are taken. Full: new groups are refused as overloaded.",
          unit: "percentunit",
          limits: { warn: 0.8, bad: 0.95 },
          queries: [
            {
              expr: `max(${of("covote_judgments_in_flight")} / ignoring(priority) group_left ${of("covote_judgments_in_flight_limit")})`,
              legend: "taken",
            },
          ],
        }),
        graph({
          title: "Reward latency",
          description: "From the acceptance of a group to its rewards. Where it goes is in the next row.",
          unit: "s",
          min: 0,
          queries: [0.5, 0.9, 0.99].map((q) => ({
            expr: quantile(q, "covote_reward_latency_seconds"),
            legend: `p${q * 100}`,
          })),
        }),
        graph({
          title: "Rewards by outcome",
          description: "Responses answered a second, by outcome: a value, or the reason why there is none.",
          unit: "reqps",
          stacked: true,
          queries: [{ expr: `sum by (outcome) (${rate("covote_rewards_total")})`, legend: "{{outcome}}" }],
        }),
        graph({
          title: "Judgments by end",
          description:
            "Partial ones were cut by their deadline or a cancel: their rewards rest on fewer votes. Failed ones have " +
            "no outcome at all.",
          unit: "reqps",
          stacked: true,
          queries: [
            { expr: `sum by (end) (${rate("covote_judgments_total")})`, legend: "{{end}}" },
            { expr: `sum(${rate("covote_judgments_refused_total")})`, legend: "refused: overloaded" },
          ],
        }),
      ],
    },
    {
      title: "Where does the time go?",
      panels: [
        graph({
          title: "Mean time by stage",
          description:
            "Along the vote that was waited for. queue grows: raise judging.maxInFlight or add aggregators. " +
            "ballot_wait grows: too few GRM slots. engine grows: long judgments, or an overloaded engine. meta grows: " +
            "too few meta RMs. record grows: NATS is slow.",
          unit: "s",
          stacked: true,
          width: 12,
          queries: [{ expr: mean("covote_reward_stage_seconds", ["stage"]), legend: "{{stage}}" }],
        }),
        graph({
          title: "p99 by stage",
          description: "The tail of each stage; these do not add up.",
          unit: "s",
          width: 12,
          queries: [{ expr: quantile(0.99, "covote_reward_stage_seconds", ["stage"]), legend: "{{stage}}" }],
        }),
        graph({
          title: "Ballots in the queue",
          description:
            "How long a ballot waits for a worker. Grows before anything else when judging is the bottleneck.",
          unit: "s",
          queries: [
            { expr: quantile(0.5, "covote_ballot_wait_seconds"), legend: "p50" },
            { expr: quantile(0.99, "covote_ballot_wait_seconds"), legend: "p99" },
          ],
        }),
        graph({
          title: "A vote in the engine",
          description:
            "Prefill: to the first token, the engine's own queue included; decode: from there to the last. Prefill " +
            "grows with long prompts, lost prefix caches and full engines; decode with long judgments.",
          unit: "s",
          queries: [
            { expr: quantile(0.5, "covote_vote_prefill_seconds"), legend: "prefill p50" },
            { expr: quantile(0.99, "covote_vote_prefill_seconds"), legend: "prefill p99" },
            { expr: quantile(0.5, "covote_vote_decode_seconds"), legend: "decode p50" },
            { expr: quantile(0.99, "covote_vote_decode_seconds"), legend: "decode p99" },
            { expr: quantile(0.99, "covote_vote_seconds"), legend: "whole p99" },
          ],
        }),
        graph({
          title: "Meta RM calls",
          description: "One engine call of the meta RM, and the votes that it holds on average.",
          unit: "s",
          queries: [
            { expr: quantile(0.5, "covote_meta_batch_seconds"), legend: "p50" },
            { expr: quantile(0.99, "covote_meta_batch_seconds"), legend: "p99" },
          ],
        }),
      ],
    },
    {
      title: "What becomes of votes?",
      panels: [
        graph({
          title: "Votes asked for",
          description:
            "Again: ballots that were overdue, lost with a connection, or cast by an old judge. Should be rare.",
          unit: "reqps",
          queries: [{ expr: `sum by (ask) (${rate("covote_votes_asked_total")})`, legend: "{{ask}}" }],
        }),
        graph({
          title: "Votes by fate",
          description:
            "Of ended judgments: used, filtered by the meta RM, still open (cancelled or too late), or without scores, " +
            "by reason.",
          unit: "reqps",
          stacked: true,
          queries: [{ expr: `sum by (fate) (${rate("covote_votes_settled_total")})`, legend: "{{fate}}" }],
        }),
        graph({
          title: "Votes as they arrive",
          description: "Late ones come after their judgment has ended: work for nothing.",
          unit: "reqps",
          stacked: true,
          queries: [
            { expr: `sum by (outcome) (${rate("covote_votes_received_total")})`, legend: "{{outcome}}" },
          ],
        }),
        graph({
          title: "Unparsable share",
          description:
            "Votes whose text could not be read. A jump with a new judge version: it forgot the format, or " +
            "grm.maxTokens cuts it.",
          unit: "percentunit",
          limits: { warn: 0.05, bad: 0.2 },
          min: 0,
          queries: [
            {
              expr: `sum(${rate("covote_votes_cast_total", 'outcome="unparsable"')}) / sum(${rate("covote_votes_cast_total")})`,
              legend: "unparsable",
            },
          ],
        }),
        graph({
          title: "Unparsable votes by what was wrong",
          description:
            "Truncated and cut_scores: judgments are longer than their limit. The rest: the grammar.",
          unit: "reqps",
          stacked: true,
          queries: [{ expr: `sum by (kind) (${rate("covote_votes_unparsable_total")})`, legend: "{{kind}}" }],
        }),
        graph({
          title: "Votes for nothing",
          description:
            "Given up before their end, or dropped because their deadline had passed when the ballot came: raise the " +
            "deadline, or add GRM workers.",
          unit: "reqps",
          queries: [
            { expr: `sum(${rate("covote_votes_cancelled_total")})`, legend: "cancelled" },
            { expr: `sum(${rate("covote_votes_expired_total")})`, legend: "expired" },
          ],
        }),
      ],
    },
    {
      title: "Are rewards any good?",
      panels: [
        graph({
          title: "Agreement",
          description:
            "How far the votes behind a reward agree in their comparisons. Falling: the judge is guessing.",
          unit: "percentunit",
          limits: { bad: 0.5, below: true },
          max: 1,
          width: 6,
          queries: [{ expr: mean("covote_reward_agreement_ratio"), legend: "mean" }],
        }),
        graph({
          title: "Spread",
          description:
            "Standard deviation of the scores behind a reward. Near zero: votes have become copies of each other.",
          unit: "short",
          min: 0,
          width: 6,
          queries: [
            { expr: mean("covote_reward_spread_points"), legend: "mean" },
            { expr: quantile(0.9, "covote_reward_spread_points"), legend: "p90" },
          ],
        }),
        graph({
          title: "Mean score by position",
          description:
            "Responses are shuffled, so every place should score the same. Lines apart: position bias; the rewards of " +
            "small groups suffer.",
          unit: "short",
          width: 6,
          queries: [
            {
              expr: `sum by (position) (${rate("covote_position_points_total")}) / (sum by (position) (${rate("covote_position_scores_total")}) > 0)`,
              legend: "place {{position}}",
            },
          ],
        }),
        graph({
          title: "Length and reward",
          description:
            "Correlation within groups of reward and response length. Rising through a run: the policy learns to be " +
            "long, not good.",
          unit: "short",
          limits: { warn: 0.5, bad: 0.8 },
          min: -1,
          max: 1,
          width: 6,
          queries: [{ expr: `avg(${of("covote_reward_length_correlation_ratio")})`, legend: "correlation" }],
        }),
      ],
    },
    {
      title: "What does a reward cost?",
      panels: [
        graph({
          title: "Tokens a reward",
          description:
            "Completion tokens cost the most; cached ones are a part of the prompt's that cost next to nothing.",
          unit: "short",
          queries: [
            {
              expr: `sum by (kind) (${rate("covote_reward_tokens_total")}) / ignoring(kind) group_left sum(${rate("covote_rewards_total")})`,
              legend: "{{kind}}",
            },
          ],
        }),
        graph({
          title: "Engine-seconds a reward",
          description:
            "Seconds in which the GRM's and the meta RM's engines were busy, over the rewards: times the GPUs of an " +
            "engine, GPU-seconds a reward.",
          unit: "s",
          queries: [
            {
              expr: `sum by (role) (${rate("covote_engine_busy_seconds_total", 'role!="policy"')}) / ignoring(role) group_left sum(${rate("covote_rewards_total")})`,
              legend: "{{role}}",
            },
          ],
        }),
        graph({
          title: "Prompt tokens from the cache",
          description:
            "Share of prompt tokens whose keys and values were there. Votes of a ballot share their prompt.",
          unit: "percentunit",
          min: 0,
          max: 1,
          queries: [
            {
              expr: `sum(${rate("covote_vote_tokens_total", 'kind="cached"')}) / sum(${rate("covote_vote_tokens_total", 'kind="prompt"')})`,
              legend: "cached",
            },
          ],
        }),
      ],
    },
    {
      title: "At the edge",
      panels: [
        graph({
          title: "gRPC calls by status",
          description: "What callers are told: overloaded and unavailable ones are retried by good clients.",
          unit: "reqps",
          stacked: true,
          width: 12,
          queries: [
            {
              expr: `sum by (status) (${rate("covote_grpc_server_handled_total")})`,
              legend: "{{status}}",
            },
          ],
        }),
        graph({
          title: "gRPC duration p99 by method",
          description: "What callers wait for an answer, queues and votes included.",
          unit: "s",
          width: 12,
          queries: [{ expr: quantile(0.99, "covote_grpc_server_seconds", ["method"]), legend: "{{method}}" }],
        }),
      ],
    },
  ],
};
