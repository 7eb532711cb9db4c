/** The vote-aggregator as part of a covote process. */
import type { Runtime } from "../../lib/runtime/runtime.js";
import { startVoteAggregator } from "./service.js";

export const serviceName = "vote-aggregator";

/** Votes that arrive within this time of each other travel to the meta RM together. */
const metaLingerMs = 2;
/** Requests of one ScoreStream judged side by side. */
const streamConcurrency = 64;

export function mountVoteAggregator(runtime: Runtime): void {
  const { config, clock, random, host } = runtime;
  const { judging, metaRm } = config;
  runtime.mount(serviceName, () =>
    startVoteAggregator(
      {
        bus: runtime.bus(),
        clock,
        random,
        log: host.log.child({ service: serviceName }),
        tracer: runtime.tracer(),
        metrics: host.metrics.forService(serviceName),
      },
      {
        judge: {
          maxInFlight: judging.maxInFlight,
          ballotPatienceMs: judging.ballotPatienceMs,
          maxPanel: runtime.grammar.maxPanel,
          scoresSteps: runtime.grammar.scoresSteps,
        },
        meta: { batch: metaRm.batch, lingerMs: metaLingerMs, patienceMs: metaRm.patienceMs },
        rollouts: {
          concurrency: judging.maxInFlight,
          votesPerBallot: judging.votesPerBallot,
          grammar: runtime.grammar,
          split: judging.split,
        },
        defaults: {
          ...judging,
          metaKeep: metaRm.keep === null ? "half" : metaRm.keep === 0 ? null : metaRm.keep,
          streamConcurrency,
        },
        maxBodyBytes: config.http.maxBodyBytes,
        load: runtime.load,
        ...(config.scaling.votes.enabled
          ? { voteBudget: { min: config.scaling.votes.min, max: config.scaling.votes.max } }
          : {}),
      },
    ),
  );
}
