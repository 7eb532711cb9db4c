/** All dashboards, by the name of their file. */

import { natsAndActors } from "./nats-and-actors.js";
import type { DashboardSpec } from "./panels.js";
import { rewardSlo } from "./reward-slo.js";
import { rlRun } from "./rl-run.js";

export const dashboards: Readonly<Record<string, DashboardSpec>> = {
  "reward-slo": rewardSlo,
  "rl-run": rlRun,
  "nats-and-actors": natsAndActors,
};
