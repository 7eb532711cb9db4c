/** A run's id: the name of its folder. Its learner's channel in the queue of experience has it, too. */
import { basename } from "node:path";
import { invalid } from "../core/errors.js";
import type { CovoteConfig } from "../host/covote-config.js";

export function runIdOf(config: Pick<CovoteConfig, "run">): string {
  if (config.run.dir === null)
    throw invalid("run.dir", "is not set; a learner needs a folder to keep its state");
  return basename(config.run.dir);
}
