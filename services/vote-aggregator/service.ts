/**
 * vote-aggregator: takes judgments from gRPC and from the rollout queue, splits them into ballots, tallies the
 * votes, and answers.
 */
import { createActorSystem } from "../../lib/actor/system.js";
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import type { Logger } from "../../lib/core/logger.js";
import type { Random } from "../../lib/core/random.js";
import type { Tracer } from "../../lib/core/tracer.js";
import type { GrpcService } from "../../lib/host/grpc.js";
import type { HttpRoutes } from "../../lib/host/http.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { actorMetrics } from "../../lib/runtime/actor-metrics.js";
import { type LoadOptions, reportLoad } from "../../lib/runtime/load-reports.js";
import { queueMetrics } from "../../lib/runtime/queue-metrics.js";
import { rewardRoutes } from "./http/routes.js";
import { createJudge, type Judge, type JudgeOptions } from "./judge.js";
import { createJudgingSums } from "./judging-sums.js";
import { openJudgmentRecords } from "./judgment-records.js";
import { createMetaClient, type MetaClientOptions } from "./meta-client.js";
import { aggregatorMetrics } from "./metrics.js";
import { createScorer, type JudgingDefaults, rewardApi } from "./reward-api.js";
import { judgeRollouts, type RolloutOptions } from "./rollouts.js";
import { followVoteBudget, type VoteBudgetBounds } from "./vote-budget.js";

export interface VoteAggregatorDependencies {
  bus: Bus;
  clock: Clock;
  random: Random;
  log: Logger;
  metrics: Metrics;
  tracer?: Tracer | null;
}

export interface VoteAggregatorOptions {
  judge: JudgeOptions;
  meta: MetaClientOptions;
  rollouts: RolloutOptions;
  defaults: JudgingDefaults;
  /** Bounds of the votes that a co-scaler may decide for; default: it may not. */
  voteBudget?: VoteBudgetBounds;
  /** Largest body of an HTTP request. */
  maxBodyBytes: number;
  /** Default: the aggregator tells nobody how busy it is. */
  load?: LoadOptions;
}

export interface VoteAggregator {
  readonly judge: Judge;
  readonly api: GrpcService;
  readonly routes: HttpRoutes;
  stop(deadline: Deadline): Promise<void>;
}

export async function startVoteAggregator(
  { bus, clock, random, log, metrics, tracer = null }: VoteAggregatorDependencies,
  options: VoteAggregatorOptions,
): Promise<VoteAggregator> {
  const actors = createActorSystem({
    clock,
    random,
    failed: (cause) => log.error({ error: cause }, "the aggregator's actors failed"),
  });
  actorMetrics(metrics, actors);
  const stopReading = queueMetrics(metrics, bus, clock);
  const sums = createJudgingSums();
  const voteBudget =
    options.voteBudget === undefined ? null : await followVoteBudget({ bus, clock, log }, options.voteBudget);
  const judge = createJudge(
    {
      bus,
      actors,
      clock,
      log,
      tracer,
      records: await openJudgmentRecords(bus),
      meta: createMetaClient({ bus, clock, log, tracer }, options.meta),
      metrics: aggregatorMetrics(metrics),
      sums,
      ...(voteBudget === null ? {} : { voteBudget }),
    },
    options.judge,
  );
  const load = reportLoad(
    { bus, clock },
    { role: "aggregator", judging: () => sums.load(judge.inFlight()) },
    options.load,
  );
  const rollouts = judgeRollouts({ bus, judge, clock, log }, options.rollouts);
  const { defaults, maxBodyBytes } = options;
  const score = createScorer(judge, clock, defaults);
  const { maxPanel } = options.judge;
  return {
    judge,
    api: rewardApi(judge, score, defaults),
    routes: rewardRoutes({ score, record: judge.record, clock }, { maxBodyBytes, maxPanel, defaults }),
    stop: async (deadline) => {
      load.stop();
      await rollouts.drain(deadline.remainingMs());
      await judge.drain(deadline);
      judge.close();
      stopReading();
      voteBudget?.close();
      // Who still waits is told that this aggregator has gone.
      await actors.close();
    },
  };
}
