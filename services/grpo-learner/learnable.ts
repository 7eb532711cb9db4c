/** Whether the model that is to learn is served by an engine that takes up what it learned. */
import { CovoteError } from "../../lib/core/errors.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { engineOf } from "../../lib/runtime/engines.js";

/** Throws `failed_precondition`: groups would be waited for that nobody can sample. */
export function checkLearnable(config: CovoteConfig): void {
  const { role } = config.training;
  const { field, engine } = engineOf(config, role);
  if (engine.kind === "llama") return;
  throw new CovoteError(
    "failed_precondition",
    `${field}.kind: the servers of the ${role} that learns cannot be given its new weights; leave it at llama, or name the other model's servers`,
    { field: `${field}.kind` },
  );
}
