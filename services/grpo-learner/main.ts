import { deferred } from "../../lib/core/deferred.js";
import type { LedgerBalance } from "../../lib/grpo/ledger.js";
import { runServiceProcess } from "../../lib/runtime/service-process.js";
import { mountGrpoLearner, serviceName } from "./mount.js";
import { openPromptSource } from "./prompt-source.js";

await runServiceProcess({ name: serviceName, args: process.argv.slice(2), env: process.env }, (runtime) => {
  const finished = deferred<LedgerBalance>();
  const prompts = openPromptSource(runtime.config.training.prompts, runtime.config.run.seed);
  mountGrpoLearner(runtime, { prompts, finished });
  return { finished: finished.promise };
});
