/** All dashboards, by the name of their file. */

import { coScaling } from "./co-scaling.js";
import { natsAndActors } from "./nats-and-actors.js";
import type { DashboardSpec } from "./panels.js";
import { rewardSlo } from "./reward-slo.js";
import { rlRun } from "./rl-run.js";

export const dashboards: Readonly<Record<string, DashboardSpec>> = {
  "reward-slo": rewardSlo,
  "rl-run": rlRun,
  "co-scaling": coScaling,
  "nats-and-actors": natsAndActors,
};
