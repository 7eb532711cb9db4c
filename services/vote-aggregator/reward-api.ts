/** `covote.v1.RewardService`: rewards for whoever asks over gRPC. */
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError, errorCodes } from "../../lib/core/errors.js";
import { newId, parseId } from "../../lib/core/ids.js";
import { seedFrom } from "../../lib/core/random.js";
import { formatTraceparent } from "../../lib/core/trace-context.js";
import { isChatMessage } from "../../lib/grm/chat.js";
import { checkScoreRequest } from "../../lib/grm/limits.js";
import type { GrpcService } from "../../lib/host/grpc.js";
import { bidi, type CallContext, serverStream, unary } from "../../lib/host/grpc-call.js";
import {
  type GetJudgmentRequest,
  type GetJudgmentResponse,
  type Judgment,
  RewardServiceService,
  type ScoreRequest,
  type ScoreResponse,
  type ScoreStreamRequest,
  type ScoreStreamResponse,
  type VoteRecord,
  type WatchRequest,
  type WatchResponse,
} from "../../lib/wire/gen/covote/v1/reward.js";
import { createChannel } from "./channel.js";
import type { Judge } from "./judge.js";
import type { JudgeRequest } from "./judge-request.js";
import { stepsOf } from "./step-layout.js";

/** What a request that says nothing about it gets. */
export interface JudgingDefaults {
  votes: number;
  /** Votes that the meta RM keeps: a number, half of those cast, or null: without it. */
  metaKeep: number | "half" | null;
  temperature: number;
  panelLimit: number;
  votesPerBallot: number;
  deadlineMs: number;
  /** Sets of principles drawn apart per query; default 0: votes write their own. */
  split?: number;
  /** Requests of one stream judged side by side. */
  streamConcurrency: number;
}

/** Votes that wait for a slow reader of `Watch`; a vote is a few kilobytes at most. */
const maxUnreadVotes = 4096;

/** Time kept back from a call's deadline, so that the answer still reaches the caller. */
const answerReserveMs = 50;

/** What a door hands on with a request. */
export type ScoreContext = Pick<CallContext, "signal" | "deadline" | "trace">;
export type Scorer = (request: ScoreRequest, context: ScoreContext) => Promise<ScoreResponse>;

export function createScorer(judge: Judge, clock: Clock, defaults: JudgingDefaults): Scorer {
  return async (request, context) => {
    const { signal } = context;
    return outcomeOf(await judge.judge(toJudgeRequest(request, context, clock, defaults), { signal }));
  };
}

export function rewardApi(judge: Judge, score: Scorer, defaults: JudgingDefaults): GrpcService {
  async function* scoreStream(
    requests: AsyncIterable<ScoreStreamRequest>,
    context: CallContext,
  ): AsyncIterable<ScoreStreamResponse> {
    const answers = createChannel<ScoreStreamResponse>();
    const reading = answerAll(requests, defaults.streamConcurrency, async ({ request }) => {
      // An answer that the client does not take keeps its place: no more requests are read than fit.
      await answers.push(await scoreOne(request, context));
    });
    void reading.then(answers.end, answers.fail);
    yield* answers.items();
  }

  const scoreOne = async (
    request: ScoreRequest | undefined,
    context: CallContext,
  ): Promise<ScoreStreamResponse> => {
    const requestId = request?.requestId ?? "";
    try {
      if (request === undefined) throw new CovoteError("invalid_argument", "request: is missing");
      const response = await score(request, context);
      return { requestId: requestId || response.judgmentId, outcome: { $case: "response", value: response } };
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      const { code, message } = { code: errorCodes[error.code].grpc, message: error.message };
      return { requestId, outcome: { $case: "failure", value: { code, message } } };
    }
  };

  const getJudgment = async (request: GetJudgmentRequest): Promise<GetJudgmentResponse> => {
    const id = parseId("judgment_id", request.judgmentId);
    const judgment = await judge.record(id);
    if (judgment === null) {
      throw new CovoteError("not_found", `judgment_id: no judgment ${id}; records are kept for a day`, {
        field: "judgment_id",
      });
    }
    return { judgment };
  };

  async function* watch(request: WatchRequest, { signal }: CallContext): AsyncIterable<WatchResponse> {
    const id = parseId("judgment_id", request.judgmentId);
    const events = createChannel<WatchResponse>();
    const tooSlow = new AbortController();
    // Votes come as they are cast, repeated ones included: their number has no bound of its own.
    const onVote = (vote: VoteRecord): void => {
      if (events.waiting() < maxUnreadVotes) {
        void events.push({ event: { $case: "vote", value: vote } });
        return;
      }
      const text = `judgment_id: ${maxUnreadVotes} votes of ${id} wait to be read; read faster, or ask GetJudgment once it has finished`;
      events.fail(new CovoteError("overloaded", text, { field: "judgment_id" }));
      tooSlow.abort();
    };
    const watched = judge.watch(id, onVote, AbortSignal.any([signal, tooSlow.signal]));
    const watching = watched.then((judgment) => {
      void events.push({ event: { $case: "finished", value: outcomeOf(judgment) } });
    });
    void watching.then(events.end, events.fail);
    yield* events.items();
  }

  return {
    definition: RewardServiceService,
    implementation: {
      score: unary(score),
      scoreStream: bidi(scoreStream),
      getJudgment: unary(getJudgment),
      watch: serverStream(watch),
    },
  };
}

export function toJudgeRequest(
  request: ScoreRequest,
  context: Pick<CallContext, "deadline" | "trace">,
  clock: Clock,
  defaults: JudgingDefaults,
): JudgeRequest {
  const { requestId, options, labels } = request;
  const query = request.query?.messages ?? [];
  const responses = request.responses.map((response) => response.text);
  const choice = {
    votes: options?.votes ?? defaults.votes,
    metaKeep: options?.metaKeep ?? metaKeepOf(options?.votes ?? defaults.votes, defaults.metaKeep),
    temperature: options?.temperature ?? defaults.temperature,
    panelLimit: options?.panelLimit ?? defaults.panelLimit,
    deadlineMs: options?.deadlineMs ?? defaults.deadlineMs,
    seed: options?.seed ?? seedFrom(requestId),
    split: options?.split ?? defaults.split ?? 0,
  };
  const reference = request.reference ?? null;
  const steps = stepsOf(request.responses);
  checkScoreRequest({ requestId, query, responses, steps, reference, options: choice, labels });
  const { votes, metaKeep, temperature, panelLimit, seed, split } = choice;
  const ownDeadline = clock.now() + choice.deadlineMs;
  return {
    id: requestId === "" ? `j-${newId()}` : requestId,
    freshId: requestId === "",
    query: query.filter(isChatMessage),
    responses: request.responses,
    reference,
    votes,
    flexible: options?.votes === undefined && options?.metaKeep === undefined,
    metaKeep: metaKeep === 0 ? null : metaKeep,
    temperature,
    panelLimit,
    votesPerBallot: defaults.votesPerBallot,
    seed,
    deadlineAtMs: Math.min(ownDeadline, context.deadline.reserving(answerReserveMs).atMs),
    split,
    labels,
    policyVersion: "",
    traceparent: formatTraceparent(context.trace),
    priority: "hi",
  };
}

function metaKeepOf(votes: number, keep: JudgingDefaults["metaKeep"]): number {
  return keep === "half" ? Math.max(1, Math.floor(votes / 2)) : Math.min(keep ?? 0, votes);
}

function outcomeOf(judgment: Judgment): ScoreResponse {
  if (judgment.outcome === undefined) {
    throw new CovoteError("internal", `judgment ${judgment.judgmentId} has no outcome`);
  }
  return judgment.outcome;
}

/** Handles at most `limit` items at a time; rejects with the first failure of reading. */
async function answerAll<T>(
  items: AsyncIterable<T>,
  limit: number,
  handle: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  for await (const item of items) {
    const task: Promise<void> = handle(item).finally(() => running.delete(task));
    running.add(task);
    if (running.size >= limit) await Promise.race(running);
  }
  await Promise.all(running);
}
