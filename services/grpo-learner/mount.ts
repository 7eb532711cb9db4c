/** The GRPO learner as part of a covote process. */
import { join } from "node:path";
import type { Deferred } from "../../lib/core/deferred.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import type { LedgerBalance } from "../../lib/grpo/ledger.js";
import { type CovoteConfig, metaKeepOf } from "../../lib/host/covote-config.js";
import { runIdOf } from "../../lib/runtime/run-id.js";
import type { Runtime } from "../../lib/runtime/runtime.js";
import { defaultCollapseLimits } from "../../lib/spct/collapse.js";
import { openLlamaTrainer } from "../../lib/trainer/llama.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { checkLearnable } from "./learnable.js";
import { grpo, type LearningMethod, type RejectiveOptions, rejectiveFineTuning } from "./method.js";
import type { LearnerOptions } from "./options.js";
import type { PromptSource } from "./prompt-source.js";
import { openRejective } from "./rejective.js";
import { samplingOf } from "./sampling-options.js";
import { startGrpoLearner } from "./service.js";

export const serviceName = "grpo-learner";

export interface GrpoLearnerMount {
  prompts: PromptSource;
  /** Settled when the run has ended. */
  finished: Deferred<LedgerBalance>;
  /** Default: the policy's checkpoint on the embedded trainer. */
  openTrainer?: () => Promise<Trainer>;
}

export function mountGrpoLearner(runtime: Runtime, options: GrpoLearnerMount): void {
  const { config, clock, host } = runtime;
  const { threads, role } = config.training;
  const openTrainer =
    options.openTrainer ??
    (async () =>
      openLlamaTrainer({
        checkpoint: await runtime.checkpoint(role),
        threads,
        temperature: samplingOf(config, runtime.grammar).temperature,
      }));
  runtime.mount(serviceName, async () => {
    checkLearnable(config);
    const rejective = await openRejective(config, runtime.grammar);
    const learnerConfig = learnerOptions(config, runtime.grammar, rejective);
    const trainer = await openTrainer();
    const learner = startGrpoLearner(
      {
        bus: runtime.bus(),
        trainer,
        prompts: options.prompts,
        clock,
        log: host.log.child({ service: serviceName }),
        tracer: runtime.tracer(),
        metrics: host.metrics.forService(serviceName),
      },
      learnerConfig,
      runtime.load,
    );
    learner.finished.then(options.finished.resolve, options.finished.reject);
    return {
      stop: async (deadline) => {
        await learner.stop(deadline);
        await trainer.close();
      },
    };
  });
}

function methodOf(
  { training }: CovoteConfig,
  maxTokens: number,
  rejective: RejectiveOptions,
): LearningMethod {
  if (training.method === "rft") return rejectiveFineTuning(rejective);
  const { maxStaleness, normalise, clipLow, clipHigh, klWeight, aggregation, importanceCap } = training;
  const loss = { clipLow, clipHigh, klWeight, aggregation, importanceCap, maxTokens };
  return grpo({ maxStaleness, normalise, loss });
}

export function learnerOptions(
  config: CovoteConfig,
  grammar: Grammar,
  rejective: RejectiveOptions = {},
): LearnerOptions {
  const { training, judging, run } = config;
  const sampling = samplingOf(config, grammar);
  return {
    runId: runIdOf(config),
    role: training.role,
    method: methodOf(config, sampling.maxTokens, rejective),
    collapse: defaultCollapseLimits,
    stateDir: join(run.dir ?? "", "state"),
    exportDir: join(run.dir ?? "", "checkpoints"),
    exportEvery: training.checkpointEvery,
    seed: run.seed,
    steps: training.steps,
    groupsPerStep: training.groupsPerStep,
    groupSize: training.groupSize,
    maxStaleness: training.maxStaleness,
    sampling,
    judging: {
      votes: judging.votes,
      metaKeep: metaKeepOf(config),
      temperature: judging.temperature,
      panelLimit: judging.panelLimit,
      deadlineMs: judging.deadlineMs,
    },
    learningRate: {
      peak: training.learningRate,
      warmupSteps: training.warmupSteps,
      decay: training.schedule,
      floor: training.finalRate,
    },
    maxGradNorm: training.maxGradNorm,
    groupPatienceMs: training.groupPatienceMs,
  };
}
