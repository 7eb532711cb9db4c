/** Every alert, as Prometheus itself decides: it fires when it should, and is silent when it should be. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ruleFiles, ruleGroups } from "../../deploy/prometheus/files.js";
import { isAlert } from "../../deploy/prometheus/rule.js";
import { promtool } from "../support/prometheus.js";
import {
  expectFiring,
  growing,
  healthy,
  type RuleCase,
  type SeriesValues,
  steady,
} from "../support/rule-cases.js";

const twoHours = 120;
const day = 24 * 60;
/** Of series that count, only: the others stay. */
const mapCounters = (series: SeriesValues, change: (name: string, values: string) => string): SeriesValues =>
  Object.fromEntries(
    Object.entries(series).map(([name, values]) =>
      values !== null && /_total|_bucket/.test(name) ? [name, change(name, values)] : [name, values],
    ),
  );

test("the rules are rules to promtool", async () => {
  const folder = mkdtempSync(join(tmpdir(), "covote-rules-"));
  try {
    for (const [name, text] of Object.entries(ruleFiles())) {
      writeFileSync(join(folder, name), text);
      expect(await promtool(["check", "rules", join(folder, name)])).toMatchObject({ code: 0 });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

describe("nothing fires", () => {
  test("in a cluster that works", () => expectFiring({ firing: [] }));

  test("in a cluster that has nothing to do, and no learner", () => {
    const idle = mapCounters(healthy(twoHours), () => growing(0, twoHours));
    const gone = Object.keys(idle).filter((name) => /learner_|policy_.*nats|gradient|loss|ledger/.test(name));
    return expectFiring({
      series: {
        ...idle,
        ...Object.fromEntries(gone.map((name) => [name, null])),
        'covote_engine_running{role="grm",pod="grm-1"}': steady(0, twoHours),
        'covote_engine_running{role="policy",pod="sampler-1"}': steady(0, twoHours),
      },
      firing: [],
    });
  });

  test("when processes start anew and their counters begin at zero again", () =>
    expectFiring({
      series: mapCounters(
        healthy(twoHours),
        (_, values) => `${values.replace("x120", "x70")} ${values.replace("x120", "x49")}`,
      ),
      firing: [],
    }));

  test("in a cluster that has just begun", () => expectFiring({ minutes: 3, firing: [] }));
});

const completion = (complete: number, partial: number, minutes: number): SeriesValues => ({
  'covote_judgments_total{end="complete"}': growing(complete, minutes),
  'covote_judgments_total{end="partial"}': growing(partial, minutes),
  'covote_reward_latency_seconds_bucket{le="30"}': growing(complete + partial, minutes),
});
const both = (alert: string): string[] => [`${alert}/page`, `${alert}/ticket`];

const cases: Record<string, Record<string, RuleCase>> = {
  CovoteRewardsIncomplete: {
    "a fifth is cut short": { series: completion(8, 2, twoHours), firing: both("CovoteRewardsIncomplete") },
    "a fifth is late": {
      series: { 'covote_reward_latency_seconds_bucket{le="30"}': growing(8, twoHours) },
      firing: both("CovoteRewardsIncomplete"),
    },
    "a fifth is refused": {
      series: { covote_judgments_refused_total: growing(2.5, twoHours) },
      firing: both("CovoteRewardsIncomplete"),
    },
    "one in 25 is cut short for a day: nobody is woken": {
      series: completion(9.6, 0.4, day),
      minutes: day,
      firing: ["CovoteRewardsIncomplete/ticket"],
    },
    "one in 50 is cut short for three days": {
      series: completion(9.8, 0.2, 3 * day),
      minutes: 3 * day,
      firing: ["CovoteRewardsIncomplete/ticket"],
    },
    "one in 200 is cut short for three days: that is within the budget": {
      series: completion(9.95, 0.05, 3 * day),
      minutes: 3 * day,
      firing: [],
    },
    "it was bad for an hour and is good again: the page ends": {
      series: {
        'covote_judgments_total{end="complete"}': "0+8x60 480+10x59",
        'covote_judgments_total{end="partial"}': "0+2x60 120x59",
        'covote_reward_latency_seconds_bucket{le="30"}': growing(10, twoHours),
      },
      firing: ["CovoteRewardsIncomplete/ticket"],
    },
    "half of very few are cut short": { series: completion(0.05, 0.05, twoHours), firing: [] },
  },
  CovoteRewardsNull: {
    "a fifth is null": {
      series: { 'covote_rewards_total{outcome="unparsable"}': growing(10, twoHours) },
      firing: both("CovoteRewardsNull"),
    },
    "all that is null was cancelled": {
      series: { 'covote_rewards_total{outcome="cancelled"}': growing(40, twoHours) },
      firing: [],
    },
    "one in 200 is null": {
      series: { 'covote_rewards_total{outcome="unparsable"}': growing(0.2, day) },
      minutes: day,
      firing: [],
    },
  },
  CovoteRewardsStale: {
    "most groups are stale": {
      series: { 'covote_groups_learned_total{end="stale"}': growing(40, twoHours) },
      firing: both("CovoteRewardsStale"),
    },
    "a sixth of the groups is stale: nobody is woken": {
      series: { 'covote_groups_learned_total{end="stale"}': growing(2, day) },
      minutes: day,
      firing: ["CovoteRewardsStale/ticket"],
    },
    "one in 26 is stale": {
      series: { 'covote_groups_learned_total{end="stale"}': growing(0.4, day) },
      minutes: day,
      firing: [],
    },
  },
  CovoteEngineOut: {
    "an engine is gone": {
      series: { 'covote_engine_available{service="grm-worker",pod="grm-1"}': "1x100 0x20" },
      firing: ["CovoteEngineOut/page"],
    },
    "it was gone for a minute": {
      series: { 'covote_engine_available{service="grm-worker",pod="grm-1"}': "1x115 0 1x5" },
      firing: [],
    },
  },
  CovoteGpuIdleWithBacklog: {
    "ballots wait while the judges stand idle": {
      series: {
        'covote_queue_pending_messages{queue="ballots"}': steady(50, twoHours),
        'covote_engine_running{role="grm",pod="grm-1"}': steady(4, twoHours),
      },
      firing: ["CovoteGpuIdleWithBacklog/ticket"],
    },
    "prompts wait while the samplers stand idle": {
      series: {
        'covote_queue_pending_messages{queue="prompts"}': steady(50, twoHours),
        'covote_engine_running{role="policy",pod="sampler-1"}': steady(0, twoHours),
      },
      firing: ["CovoteGpuIdleWithBacklog/ticket"],
    },
    "ballots wait for judges that are busy": {
      series: { 'covote_queue_pending_messages{queue="ballots"}': steady(50, twoHours) },
      firing: [],
    },
    "the judges stand idle for want of ballots": {
      series: { 'covote_engine_running{role="grm",pod="grm-1"}': steady(0, twoHours) },
      firing: [],
    },
  },
  CovoteWeightsBehind: {
    "a sampler stays with its old weights": {
      series: { 'covote_model_version{role="policy",pod="sampler-1"}': "0+1x60 60x60" },
      firing: ["CovoteWeightsBehind/ticket"],
    },
    "a sampler follows, one step behind": {
      series: { 'covote_model_version{role="policy",pod="sampler-1"}': "0 0+1x119" },
      firing: [],
    },
    "it was behind, and has caught up": {
      series: { 'covote_model_version{role="policy",pod="sampler-1"}': "0+1x60 60x30 92+1x27" },
      firing: [],
    },
  },
  CovoteStrandedMessages: {
    "items are stranded": {
      series: { 'covote_queue_stranded_messages{queue="ballots"}': "0x100 3x20" },
      firing: ["CovoteStrandedMessages/page"],
    },
    "they seem so for a moment": {
      series: { 'covote_queue_stranded_messages{queue="ballots"}': "0x115 3 0x5" },
      firing: [],
    },
  },
  CovoteDeadLetters: {
    "one item became a dead letter": {
      series: { 'covote_dead_letters_total{queue="rollouts"}': "0x115 1x5" },
      firing: ["CovoteDeadLetters/ticket"],
    },
    "that was an hour ago": {
      series: { 'covote_dead_letters_total{queue="rollouts"}': "0x60 1x60" },
      firing: [],
    },
  },
  CovoteQueueNearlyFull: {
    "nine items in ten": {
      series: { 'covote_queue_messages{queue="rollouts"}': steady(900, twoHours) },
      firing: ["CovoteQueueNearlyFull/page"],
    },
    "nine bytes in ten": {
      series: { 'covote_queue_size_bytes{queue="rollouts"}': steady(900_000, twoHours) },
      firing: ["CovoteQueueNearlyFull/page"],
    },
    "a queue without a bound": {
      series: { 'covote_queue_max_messages{queue="rollouts"}': steady(0, twoHours) },
      firing: [],
    },
  },
  CovoteBusDisconnected: {
    "a process has lost NATS": {
      series: {
        'covote_bus_connected{job="covote",instance="meta-rm:9464",service="meta-rm",pod="meta-rm-1"}':
          "1x110 0x10",
      },
      firing: ["CovoteBusDisconnected/page"],
    },
    "for less than a minute": {
      series: {
        'covote_bus_connected{job="covote",instance="meta-rm:9464",service="meta-rm",pod="meta-rm-1"}':
          "1x110 0 1x9",
      },
      firing: [],
    },
  },
  CovoteVotesUnparsable: {
    "a third of the votes": {
      series: { 'covote_votes_cast_total{outcome="unparsable"}': growing(50, twoHours) },
      firing: ["CovoteVotesUnparsable/ticket"],
    },
    "one vote in ten": {
      series: { 'covote_votes_cast_total{outcome="unparsable"}': growing(11, twoHours) },
      firing: [],
    },
    "all of three votes": {
      series: {
        'covote_votes_cast_total{outcome="usable"}': growing(0, twoHours),
        'covote_votes_cast_total{outcome="unparsable"}': growing(0.2, twoHours),
      },
      firing: [],
    },
  },
  CovoteMetaRmFailing: {
    "a third of the scores": {
      series: { 'covote_meta_scores_total{outcome="failed"}': growing(50, twoHours) },
      firing: ["CovoteMetaRmFailing/ticket"],
    },
    "one score in twenty": {
      series: { 'covote_meta_scores_total{outcome="failed"}': growing(5, twoHours) },
      firing: [],
    },
  },
  CovotePolicyKlHigh: {
    "far from the weights that sampled": {
      series: { covote_policy_step_kl_nats: steady(0.4, twoHours) },
      firing: ["CovotePolicyKlHigh/ticket"],
    },
    "far from the reference": {
      series: { covote_policy_kl_nats: steady(3, twoHours) },
      firing: ["CovotePolicyKlHigh/ticket"],
    },
    "in one step only": { series: { covote_policy_step_kl_nats: "0.01x110 0.4 0.01x10" }, firing: [] },
  },
  CovoteTrainingNotFinite: {
    "the gradient is no number": {
      series: { covote_gradient_norm: `0.4x110${" NaN".repeat(10)}` },
      firing: ["CovoteTrainingNotFinite/page"],
    },
    "the loss is infinite": {
      series: { covote_training_loss: `0.4x110${" Inf".repeat(10)}` },
      firing: ["CovoteTrainingNotFinite/page"],
    },
    "the gradient is zero": { series: { covote_gradient_norm: steady(0, twoHours) }, firing: [] },
  },
  CovoteNoSpread: {
    "nine groups in ten": {
      series: { 'covote_groups_learned_total{end="no_spread"}': growing(80, twoHours) },
      firing: ["CovoteNoSpread/ticket"],
    },
    "half of the groups": {
      series: { 'covote_groups_learned_total{end="no_spread"}': growing(8, twoHours) },
      firing: [],
    },
  },
  CovoteLearnerStalled: {
    "no step for an hour": {
      series: { 'covote_learner_step{pod="learner-1"}': "0+1x60 60x60" },
      firing: ["CovoteLearnerStalled/page"],
    },
    "the run is at its end": {
      series: {
        'covote_learner_step{pod="learner-1"}': "0+1x60 60x60",
        'covote_learner_planned_steps{pod="learner-1"}': steady(60, twoHours),
      },
      firing: [],
    },
    "the learner was started anew ten minutes ago": {
      series: { 'covote_learner_step{pod="learner-1"}': "0+1x100 _x9 100x11" },
      firing: [],
    },
  },
  CovoteGroupsLost: {
    "a group is lost": {
      series: { 'covote_ledger_groups{state="lost"}': "0x110 1x10" },
      firing: ["CovoteGroupsLost/page"],
    },
    "a group counted twice": {
      series: { 'covote_ledger_groups{state="duplicated"}': "0x110 1x10" },
      firing: ["CovoteGroupsLost/page"],
    },
    "groups are open": { series: { 'covote_ledger_groups{state="open"}': steady(8, twoHours) }, firing: [] },
  },
  CovoteCoScalerNoLeader: {
    "none leads": {
      series: { 'covote_scaling_leader{pod="co-scaler-1"}': "1x100 0x20" },
      firing: ["CovoteCoScalerNoLeader/page"],
    },
    "two lead": {
      series: { 'covote_scaling_leader{pod="co-scaler-2"}': steady(1, twoHours) },
      firing: ["CovoteCoScalerNoLeader/page"],
    },
    "another one takes over": {
      series: {
        'covote_scaling_leader{pod="co-scaler-1"}': "1x114 0x5",
        'covote_scaling_leader{pod="co-scaler-2"}': "0x116 1x3",
      },
      firing: [],
    },
    "there is no co-scaler": {
      series: {
        'covote_scaling_leader{pod="co-scaler-1"}': null,
        'covote_scaling_leader{pod="co-scaler-2"}': null,
      },
      firing: [],
    },
  },
  CovoteCoScalerBlocked: {
    "figures are missing": {
      series: { 'covote_scaling_blocked{by="metrics_missing"}': steady(1, twoHours) },
      firing: ["CovoteCoScalerBlocked/ticket"],
    },
    "changes fail": {
      series: { 'covote_scaling_changes_total{outcome="failed"}': growing(1, twoHours) },
      firing: ["CovoteCoScalerBlocked/ticket"],
    },
    "nothing can be read": {
      series: { covote_scaling_problems_total: growing(1, twoHours) },
      firing: ["CovoteCoScalerBlocked/ticket"],
    },
    "one change failed half an hour ago": {
      series: { 'covote_scaling_changes_total{outcome="failed"}': "0x90 1x30" },
      firing: [],
    },
  },
  CovoteEventLoopSlow: {
    "a process is a second late": {
      series: {
        'nodejs_eventloop_lag_p99_seconds{job="covote",instance="meta-rm:9464",service="meta-rm",pod="meta-rm-1"}':
          steady(1.2, twoHours),
      },
      firing: ["CovoteEventLoopSlow/ticket"],
    },
    "a process of somebody else's is": {
      series: { 'nodejs_eventloop_lag_p99_seconds{job="other",instance="other:80"}': steady(1.2, twoHours) },
      firing: [],
    },
  },
  CovoteServiceGone: {
    "the last meta RM is gone": {
      series: {
        'covote_build_info{job="covote",instance="meta-rm:9464",service="meta-rm",pod="meta-rm-1"}':
          "1x105 _x15",
      },
      firing: ["CovoteServiceGone/page"],
    },
    "another pod has taken its place": {
      series: {
        'covote_build_info{job="covote",instance="meta-rm:9464",service="meta-rm",pod="meta-rm-1"}':
          "1x105 _x15",
        'covote_build_info{job="covote",instance="b:9464",service="meta-rm",pod="meta-rm-2"}': "_x104 1x16",
      },
      firing: [],
    },
    "the learner has ended": {
      series: {
        'covote_build_info{job="covote",instance="grpo-learner:9464",service="grpo-learner",pod="grpo-learner-1"}':
          "1x105 _x15",
      },
      firing: [],
    },
  },
  CovoteMetricsMissing: {
    "there are none": {
      series: Object.fromEntries(Object.keys(healthy(1)).map((name) => [name, null])),
      firing: ["CovoteMetricsMissing/page"],
    },
    "there is a single process": {
      series: {
        ...Object.fromEntries(Object.keys(healthy(1)).map((name) => [name, null])),
        'covote_build_info{service="covote"}': steady(1, twoHours),
      },
      firing: [],
    },
  },
  CovoteSpansLost: {
    "a third of the spans": {
      series: { 'covote_tracing_spans_total{outcome="dropped"}': growing(500, twoHours) },
      firing: ["CovoteSpansLost/ticket"],
    },
    "one span in a hundred": {
      series: { 'covote_tracing_spans_total{outcome="dropped"}': growing(10, twoHours) },
      firing: [],
    },
  },
};

describe.each(Object.entries(cases))("%s", (_alert, situations) => {
  test.concurrent.each(Object.entries(situations))("%s", (_situation, ruleCase) => expectFiring(ruleCase));
});

test("every alert has a case in which it fires, and one in which it comes near and does not", () => {
  const alerts = [
    ...new Set(ruleGroups.flatMap(({ rules }) => rules.filter(isAlert).map(({ alert }) => alert))),
  ];
  expect(Object.keys(cases).sort()).toEqual(alerts.sort());
  for (const [alert, situations] of Object.entries(cases)) {
    const fired = Object.values(situations).map(({ firing }) =>
      firing.some((one) => one.startsWith(`${alert}/`)),
    );
    expect(new Set(fired), alert).toEqual(new Set([true, false]));
  }
});
