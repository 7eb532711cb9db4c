/** What covote promises of its rewards, as objectives: they come, they are numbers, they are fresh. */
import { type Slo, sloGroup } from "./burn-rates.js";
import { installation, type RuleGroup } from "./rule.js";

/** The time within which a reward is to come, in seconds: a bucket of the latency, and the default deadline. */
const rewardSeconds = 30;

const rate = (metric: string, window: string): string =>
  `sum by (${installation}) (rate(${metric}[${window}]))`;

const completion: Slo = {
  name: "reward-completion",
  alert: "CovoteRewardsIncomplete",
  objective: 0.99,
  // A judgment that was cut short may have been answered in time, and a complete one late: the smaller count is of
  // those that are neither, unless both happen at once.
  good: (window) => {
    const complete = rate('covote_judgments_total{end="complete"}', window);
    const inTime = rate(`covote_reward_latency_seconds_bucket{le="${rewardSeconds}"}`, window);
    return `${complete} < ${inTime} or ${inTime}`;
  },
  events: (window) =>
    `${rate("covote_judgments_total", window)} + ${rate("covote_judgments_refused_total", window)}`,
  what: { events: "judgments", bad: `were not answered in full within ${rewardSeconds} s` },
};

const nulls: Slo = {
  name: "null-rewards",
  alert: "CovoteRewardsNull",
  objective: 0.99,
  good: (window) => rate('covote_rewards_total{outcome="value"}', window),
  // Who cancels gets null, and wanted it.
  events: (window) => rate('covote_rewards_total{outcome!="cancelled"}', window),
  what: { events: "responses", bad: "got null instead of a reward" },
};

const freshness: Slo = {
  name: "freshness",
  alert: "CovoteRewardsStale",
  objective: 0.95,
  good: (window) => rate('covote_groups_learned_total{end!="stale"}', window),
  events: (window) => rate("covote_groups_learned_total", window),
  what: {
    events: "groups",
    bad: "came to the learner after more policy versions than it allows, and were dropped",
  },
};

export const slos: readonly Slo[] = [completion, nulls, freshness];

export const sloGroups: readonly RuleGroup[] = slos.map(sloGroup);
