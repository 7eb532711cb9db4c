/**
 * The whole loop in the test's process: reward cluster, policy-sampler and learner over a real nats-server, with
 * simulated engines and a trainer that can be looked at.
 *
 * The simulated policy writes `good N`, N drawn from the request's seed.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bus } from "../../lib/bus/bus.js";
import type { NatsBus } from "../../lib/bus/open-bus.js";
import { withAckWait } from "../../lib/bus/queues.js";
import { systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createRandom, uniformAt } from "../../lib/core/random.js";
import type { GenerateRequest, GenerativeEngine } from "../../lib/engine/engine.js";
import { createSimulatedEngine, type SimulatedEngineOptions } from "../../lib/engine/simulated.js";
import type { LedgerBalance } from "../../lib/grpo/ledger.js";
import { createMetrics } from "../../lib/host/metrics.js";
import { defaultCollapseLimits } from "../../lib/spct/collapse.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { StepFinished } from "../../lib/wire/gen/covote/v1/learning.js";
import { stepEvents } from "../../services/grpo-learner/learner.js";
import { grpo } from "../../services/grpo-learner/method.js";
import type { LearnerOptions } from "../../services/grpo-learner/options.js";
import type { PromptSource } from "../../services/grpo-learner/prompt-source.js";
import { startGrpoLearner } from "../../services/grpo-learner/service.js";
import { startPolicySampler } from "../../services/policy-sampler/service.js";
import type { TestNats } from "./nats.js";
import {
  openRewardCluster,
  type RewardCluster,
  type RewardClusterOptions,
  votingEngine,
} from "./reward-cluster.js";

export interface LearningClusterOptions extends Partial<RewardClusterOptions> {
  nats: TestNats;
  policy?: GenerativeEngine;
  /** Stands between the sampler and its bus. */
  samplerBus?: (bus: Bus) => Bus;
  learner?: Partial<LearnerOptions>;
  /** Default: `query N`, to be judged by votes. */
  prompts?: PromptSource;
}

export interface LearnerRun {
  /** The final balance, or why there is none. */
  readonly finished: Promise<LedgerBalance>;
  stop(): Promise<void>;
  /** As if its process was killed: the connection is gone at once, and nothing more is kept. */
  kill(): Promise<void>;
}

export interface LearningCluster extends AsyncDisposable {
  readonly rewards: RewardCluster;
  readonly runId: string;
  readonly options: LearnerOptions;
  /** Every step that was told about, in the order of arrival. */
  readonly steps: readonly StepFinished[];
  startLearner(
    trainer: Trainer,
    over?: Partial<LearnerOptions> & { prompts?: PromptSource },
  ): Promise<LearnerRun>;
}

const numberedQueries: PromptSource = {
  prompt: (index) => ({ messages: [{ role: "user", content: `query ${index}` }], label: null }),
};

let runs = 0;

export async function openLearningCluster(options: LearningClusterOptions): Promise<LearningCluster> {
  const { nats, policy = samplingEngine() } = options;
  const clock = systemClock();
  const runId = `run-${++runs}`;
  const dir = await mkdtemp(join(tmpdir(), "covote-learner-"));
  const rewards = await openRewardCluster({ engines: [votingEngine()], ...options });
  const connect = (name: string): Promise<NatsBus> =>
    nats.bus({ cluster: rewards.cluster, name, queues: withAckWait(500), random: createRandom(9) });
  const loadOf = (host: string) =>
    options.loadIntervalMs === undefined ? {} : { load: { host, intervalMs: options.loadIntervalMs } };
  const samplerBus = await connect("policy-sampler");
  const sampler = await startPolicySampler(
    {
      bus: options.samplerBus?.(samplerBus) ?? samplerBus,
      engine: policy,
      clock,
      log: silentLogger,
      metrics: createMetrics({ service: "policy-sampler" }),
    },
    { name: "sampler", concurrency: 4, ...loadOf("policy-sampler") },
  );
  const learnerOptions: LearnerOptions = {
    runId,
    role: "policy",
    method: grpo({
      maxStaleness: options.learner?.maxStaleness ?? 1,
      normalise: "std",
      loss: {
        clipLow: 0.2,
        clipHigh: 0.2,
        klWeight: 0,
        aggregation: "token",
        importanceCap: null,
        maxTokens: 8,
      },
    }),
    collapse: defaultCollapseLimits,
    stateDir: join(dir, "state"),
    exportDir: join(dir, "checkpoints"),
    exportEvery: 2,
    seed: 5,
    steps: 3,
    groupsPerStep: 4,
    groupSize: 3,
    maxStaleness: 1,
    sampling: { temperature: 1, maxTokens: 8 },
    judging: { votes: 2, metaKeep: 0, temperature: 1, panelLimit: 4, deadlineMs: 15_000 },
    learningRate: { peak: 0.1, warmupSteps: 0, decay: "linear", floor: 0 },
    maxGradNorm: 1,
    groupPatienceMs: 3000,
    ...options.learner,
  };
  const steps: StepFinished[] = [];
  rewards.bus.subscribe(rewards.bus.subjects.events(stepEvents), {}, (data) => {
    steps.push(StepFinished.decode(data));
  });
  await rewards.bus.flush();

  return {
    rewards,
    runId,
    options: learnerOptions,
    steps,
    startLearner: async (trainer, { prompts = options.prompts ?? numberedQueries, ...over } = {}) => {
      const bus = await connect("grpo-learner");
      const learner = startGrpoLearner(
        {
          bus,
          trainer,
          prompts,
          clock,
          log: silentLogger,
          metrics: createMetrics({ service: "grpo-learner" }),
        },
        { ...learnerOptions, ...over },
        loadOf("grpo-learner").load,
      );
      learner.finished.catch(() => undefined);
      const stop = (): Promise<void> => learner.stop(deadlineIn(clock, 2000));
      return {
        finished: learner.finished,
        stop,
        kill: async () => {
          await bus.close();
          await stop();
        },
      };
    },
    [Symbol.asyncDispose]: async () => {
      await sampler.stop(deadlineIn(clock, 500));
      await rewards[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A policy whose text follows from the request alone. */
export function samplingEngine(
  write: (request: GenerateRequest) => string = (request) =>
    `good ${Math.floor(uniformAt(request.seed, 0) * 10)}`,
  options: Partial<SimulatedEngineOptions> = {},
): GenerativeEngine {
  return createSimulatedEngine({ respond: write, slots: 16, ...options });
}

/** Index of the group that a request of the sampler belongs to. */
export function groupIndexOf(request: GenerateRequest): number {
  return Number(/-g(\d+)-/.exec(request.id)?.[1] ?? -1);
}
