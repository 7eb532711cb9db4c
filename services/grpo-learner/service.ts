/** grpo-learner: runs one training run; `finished` tells how it ended. */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { Tracer } from "../../lib/core/tracer.js";
import type { LedgerBalance } from "../../lib/grpo/ledger.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { type LoadOptions, reportLoad } from "../../lib/runtime/load-reports.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { learn } from "./learner.js";
import { learnerMetrics } from "./metrics.js";
import type { LearnerOptions } from "./options.js";
import type { PromptSource } from "./prompt-source.js";

export interface GrpoLearnerDependencies {
  bus: Bus;
  trainer: Trainer;
  prompts: PromptSource;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  tracer?: Tracer | null;
}

export interface GrpoLearner {
  /** Resolves with the ledger's balance at the end; rejects when the run failed or was stopped. */
  readonly finished: Promise<LedgerBalance>;
  stop(deadline: Deadline): Promise<void>;
}

/** `load`: default, the learner tells nobody how busy it is. */
export function startGrpoLearner(
  deps: GrpoLearnerDependencies,
  options: LearnerOptions,
  load?: LoadOptions,
): GrpoLearner {
  const stopping = new AbortController();
  const work = { steps: 0, responses: 0, trainingMs: 0, waitingMs: 0 };
  const meter = learnerMetrics(deps.metrics, options);
  const metrics: typeof meter = {
    ...meter,
    stepped: (taken) => {
      const { wait, ...others } = taken.phasesMs;
      work.steps++;
      work.responses += options.groupsPerStep * options.groupSize;
      work.trainingMs += Object.values(others).reduce((sum, ms) => sum + ms, 0);
      work.waitingMs += wait;
      meter.stepped(taken);
    },
  };
  const finished = learn({ ...deps, metrics }, options, stopping.signal);
  const reporting = reportLoad(deps, { role: "learner", learner: () => work }, load);
  const settled = finished.then(
    () => undefined,
    () => undefined,
  );
  return {
    finished,
    stop: async () => {
      reporting.stop();
      stopping.abort(new CovoteError("cancelled", "the learner was stopped; the run can be resumed"));
      await settled;
    },
  };
}
