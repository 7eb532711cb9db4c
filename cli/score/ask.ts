/** Asks a reward service for the rewards of a group and for everything behind them. */
import type { ChannelCredentials } from "@grpc/grpc-js";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import { newId } from "../../lib/core/ids.js";
import { createGrpcClient, type GrpcClient } from "../../lib/host/grpc-client.js";
import {
  type JudgingOptions,
  type Judgment,
  RewardServiceService,
  type ScoreResponse,
} from "../../lib/wire/gen/covote/v1/reward.js";
import type { ScoreTask } from "./input.js";

export interface Scored {
  task: ScoreTask;
  outcome: ScoreResponse;
  /** The votes behind the rewards; null when the service could not be asked about them any more. */
  judgment: Judgment | null;
}

export interface RewardClient {
  /** Rejects with a CovoteError when there are no rewards. An overloaded service is asked again until the time is up. */
  score(task: ScoreTask, options: JudgingOptions, signal: AbortSignal): Promise<Scored>;
  close(): void;
}

/** For calls without a deadline of their own: no judgment of a service takes longer, in milliseconds. */
const longestCallMs = 600_000;
/** Beyond the judgment's own deadline, for the way there and back. */
const graceMs = 2000;
const overloadedPauseMs = 500;

export function createRewardClient(
  address: string,
  clock: Clock,
  credentials?: ChannelCredentials,
): RewardClient {
  const { score, getJudgment } = RewardServiceService;
  // Each request has an id of its own, so sending it again is harmless.
  const client: GrpcClient = createGrpcClient({
    address,
    what: "reward service",
    idempotent: [score, getJudgment],
    clock,
    ...(credentials && { credentials }),
  });
  return {
    score: async (task, options, signal) => {
      const deadlineAtMs =
        clock.now() + (options.deadlineMs === undefined ? longestCallMs : options.deadlineMs + graceMs);
      const request = {
        requestId: `score-${newId()}`,
        query: { messages: [...task.query] },
        responses: task.responses.map((text, index) => {
          const steps = task.steps?.[index] ?? null;
          return { text, steps: steps === null ? undefined : { texts: [...steps] } };
        }),
        options,
        labels: {},
        reference: task.reference,
      };
      const ask = async (): Promise<ScoreResponse> => {
        for (;;) {
          try {
            return await client.unary(score, request, { deadlineAtMs, signal });
          } catch (thrown) {
            const error = CovoteError.from(thrown);
            const pauseMs = error.retryAfterMs ?? overloadedPauseMs;
            if (error.code !== "overloaded" || clock.now() + pauseMs >= deadlineAtMs) throw error;
            await clock.sleep(pauseMs, { signal });
          }
        }
      };
      const outcome = await ask();
      // Rewards in hand are not thrown away for want of their votes.
      const judgment = await client
        .unary(getJudgment, { judgmentId: outcome.judgmentId }, { signal })
        .then((answer) => answer.judgment ?? null)
        .catch((thrown: unknown) => {
          if (signal.aborted) throw thrown;
          return null;
        });
      return { task, outcome, judgment };
    },
    close: () => client.close(),
  };
}
