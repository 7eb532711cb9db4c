/** *Online RL run*: does the policy learn, is the run sound, and what holds it up? */
import { type DashboardSpec, graph, mean, number, of, quantile, rate } from "./panels.js";

const step = `max(${of("covote_learner_step")})`;
const stepsPerSecond = `sum(${rate("covote_step_seconds_count", 'phase="train"')})`;

export const rlRun: DashboardSpec = {
  uid: "covote-rl-run",
  title: "covote / Online RL run",
  description: "Does the policy learn, is the run sound, and what holds it up?",
  from: "now-6h",
  sections: [
    {
      title: "Where does the run stand?",
      panels: [
        number({
          title: "Progress",
          description: "Steps taken, of those planned.",
          unit: "percentunit",
          max: 1,
          queries: [{ expr: `${step} / max(${of("covote_learner_planned_steps")})`, legend: "taken" }],
        }),
        number({
          title: "Steps an hour",
          description: "None: the learner waits for groups (see the phases), or it has gone.",
          unit: "short",
          queries: [{ expr: `3600 * ${stepsPerSecond}`, legend: "steps" }],
        }),
        number({
          title: "Mean reward",
          description:
            "In points, over the last step. It is the judge's opinion: read it together with KL and length.",
          unit: "short",
          queries: [{ expr: `max(${of("covote_reward_mean_points")})`, legend: "reward" }],
        }),
        number({
          title: "KL to the reference",
          description:
            "In nats a token. A jump: the policy runs away from what it was; lower the rate, raise klWeight.",
          unit: "short",
          limits: { warn: 0.5, bad: 2 },
          queries: [{ expr: `max(${of("covote_policy_kl_nats")})`, legend: "KL" }],
        }),
        number({
          title: "Weights behind",
          description:
            "Steps that the policy that samples now is behind the learner: the freshness of what is learned from.",
          unit: "short",
          limits: { warn: 3, bad: 8 },
          queries: [
            { expr: `${step} - min(${of("covote_model_version", 'role="policy"')})`, legend: "steps behind" },
          ],
        }),
        number({
          title: "Groups lost or twice",
          description:
            "The ledger's count of groups without an end and of groups trained on twice. Anything but 0 is a fault.",
          unit: "short",
          limits: { bad: 1 },
          queries: [
            { expr: `sum(${of("covote_ledger_groups", 'state=~"lost|duplicated"')})`, legend: "groups" },
          ],
        }),
      ],
    },
    {
      title: "Does it learn?",
      panels: [
        graph({
          title: "Reward",
          description:
            "Mean and spread within the steps. Spread near zero: groups have nothing left to learn from.",
          unit: "short",
          queries: [
            { expr: `max(${of("covote_reward_mean_points")})`, legend: "mean" },
            { expr: `max(${of("covote_reward_stddev_points")})`, legend: "standard deviation" },
          ],
        }),
        graph({
          title: "Distance from the reference and from the sampler",
          description: "KL in nats a token. The second grows with stale groups and large steps.",
          unit: "short",
          min: 0,
          queries: [
            { expr: `max(${of("covote_policy_kl_nats")})`, legend: "to the reference" },
            { expr: `max(${of("covote_policy_step_kl_nats")})`, legend: "to the weights that sampled" },
          ],
        }),
        graph({
          title: "Entropy",
          description:
            "In nats a token. Falling to zero: the policy says one thing only, and exploration is over.",
          unit: "short",
          min: 0,
          queries: [{ expr: `max(${of("covote_policy_entropy_nats")})`, legend: "entropy" }],
        }),
        graph({
          title: "Gradient norm",
          description:
            "Before it is cut. Spikes: look at the groups of that step; not a number: the run is broken.",
          unit: "short",
          min: 0,
          queries: [{ expr: `max(${of("covote_gradient_norm")})`, legend: "norm" }],
        }),
        graph({
          title: "Clipped and truncated tokens",
          description: "Share of tokens without an effect. High: steps are too large, or groups too stale.",
          unit: "percentunit",
          min: 0,
          limits: { warn: 0.2, bad: 0.5 },
          queries: [
            { expr: `max(${of("covote_policy_clip_ratio")})`, legend: "clipped" },
            { expr: `max(${of("covote_policy_truncated_ratio")})`, legend: "truncated" },
          ],
        }),
        graph({
          title: "Loss, importance ratio, learning rate",
          description: "The loss of GRPO is no measure of progress; the ratio should stay near 1.",
          unit: "short",
          queries: [
            { expr: `max(${of("covote_training_loss")})`, legend: "loss" },
            { expr: `max(${of("covote_policy_importance_ratio")})`, legend: "importance ratio" },
            { expr: `max(${of("covote_learning_rate")})`, legend: "learning rate" },
          ],
        }),
      ],
    },
    {
      title: "What holds it up?",
      panels: [
        graph({
          title: "Step by phase",
          description:
            "Mean seconds a step. wait dominates: sampling or judging is the bottleneck (see Co-scaling); train: the " +
            "trainer; keep and publish: storage.",
          unit: "s",
          stacked: true,
          queries: [{ expr: mean("covote_step_seconds", ["phase"]), legend: "{{phase}}" }],
        }),
        graph({
          title: "Tokens a second",
          description: "What samplers write and what the learner trains on.",
          unit: "short",
          queries: [
            { expr: `sum(${rate("covote_sampled_tokens_total")})`, legend: "sampled" },
            { expr: `sum(${rate("covote_trained_tokens_total")})`, legend: "trained" },
          ],
        }),
        graph({
          title: "Length of a response",
          description: "In tokens. It drifts through a run, and with it what sampling and judging cost.",
          unit: "short",
          min: 0,
          queries: [{ expr: `max(${of("covote_response_mean_tokens")})`, legend: "mean" }],
        }),
        graph({
          title: "Sampling a group",
          description: "From a prompt to its group, waiting for newer weights included.",
          unit: "s",
          queries: [
            { expr: quantile(0.5, "covote_group_sampling_seconds"), legend: "p50" },
            { expr: quantile(0.99, "covote_group_sampling_seconds"), legend: "p99" },
          ],
        }),
        graph({
          title: "Groups sampled",
          description:
            "A second. Refused prompts are too long for the policy, or have words that it does not know.",
          unit: "reqps",
          queries: [
            { expr: `sum(${rate("covote_groups_sampled_total")})`, legend: "sampled" },
            { expr: `sum(${rate("covote_prompts_refused_total")})`, legend: "refused prompts" },
          ],
        }),
        graph({
          title: "Backlog between the services",
          description: "rollouts: judging is behind; experience: the learner is; prompts: the samplers are.",
          unit: "short",
          min: 0,
          queries: [
            {
              expr: `max by (queue) (${of("covote_queue_pending_messages")})`,
              legend: "{{queue}}",
            },
          ],
        }),
      ],
    },
    {
      title: "Is it sound?",
      panels: [
        graph({
          title: "Groups by end",
          description: "A second. no_spread: all rewards equal; null: too few rewards; stale: too old.",
          unit: "reqps",
          stacked: true,
          queries: [{ expr: `sum by (end) (${rate("covote_groups_learned_total")})`, legend: "{{end}}" }],
        }),
        graph({
          title: "Masked responses by reason",
          description: "A second: responses of trained groups that have no reward. See Reward SLO for why.",
          unit: "reqps",
          stacked: true,
          queries: [{ expr: `sum by (reason) (${rate("covote_null_rewards_total")})`, legend: "{{reason}}" }],
        }),
        graph({
          title: "Staleness",
          description: "Policy versions between sampling and training; beyond the limit a group is dropped.",
          unit: "short",
          min: 0,
          queries: [
            { expr: `max(${of("covote_staleness_versions")})`, legend: "mean" },
            { expr: `max(${of("covote_staleness_max_versions")})`, legend: "most" },
            { expr: `max(${of("covote_staleness_limit_versions")})`, legend: "limit" },
          ],
        }),
        graph({
          title: "Ledger",
          description:
            "Groups by what is known of them. open falls to 0 at the end of a run; lost and duplicated stay 0.",
          unit: "short",
          min: 0,
          queries: [{ expr: `max by (state) (${of("covote_ledger_groups")})`, legend: "{{state}}" }],
        }),
        graph({
          title: "Weights served",
          description:
            "Numbers of the versions that are known and served. A gap that stays: new weights cannot be loaded.",
          unit: "short",
          min: 0,
          queries: [
            {
              expr: `max by (role) (${of("covote_model_announced_version")})`,
              legend: "{{role}}: announced",
            },
            { expr: `min by (role) (${of("covote_model_version")})`, legend: "{{role}}: served by all" },
          ],
        }),
        graph({
          title: "Loading weights",
          description: "Seconds to put new weights into an engine, and loads that failed a second.",
          unit: "short",
          min: 0,
          queries: [
            { expr: quantile(0.99, "covote_model_load_seconds", ["role"]), legend: "{{role}} p99, s" },
            {
              expr: `sum by (role) (${rate("covote_model_load_failures_total")})`,
              legend: "{{role}} failures",
            },
          ],
        }),
      ],
    },
  ],
};
