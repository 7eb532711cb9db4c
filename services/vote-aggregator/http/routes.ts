/**
 * Rewards over HTTP, as JSON: `POST /v1/rewards`, `POST /v1/rewards:batch`, `GET /v1/judgments/ID`, and the document
 * that describes them.
 *
 * - The same judge, limits and idempotence as over gRPC. A client that goes away cancels what nobody else waits for.
 * - An item of a batch fails alone: its place holds an error, the others their rewards.
 * - Failures are answered as `{"error": {code, message, field, retryAfterMs}}`, with `Retry-After` where a retry helps.
 */
import type { Clock } from "../../../lib/core/clock.js";
import { deadlineAt } from "../../../lib/core/deadline.js";
import { CovoteError } from "../../../lib/core/errors.js";
import { parseId } from "../../../lib/core/ids.js";
import { systemRandomHex } from "../../../lib/core/random-hex.js";
import {
  childTrace,
  newTrace,
  parseTraceparent,
  type TraceContext,
} from "../../../lib/core/trace-context.js";
import type { HttpAnswer, HttpRequest, HttpRoutes } from "../../../lib/host/http.js";
import { Judgment } from "../../../lib/wire/gen/covote/v1/reward.js";
import type { JudgingDefaults, Scorer } from "../reward-api.js";
import { openApi } from "./open-api.js";
import {
  batchRequestJson,
  checkJson,
  type RewardRequestJson,
  readJson,
  rewardRequestJson,
  toAnswerJson,
  toScoreRequest,
} from "./reward-json.js";

export interface RewardRoutesOptions {
  maxBodyBytes: number;
  /** Most responses that the judges' grammar can show together. */
  maxPanel: number;
  defaults: JudgingDefaults;
}

export interface RewardRoutesDependencies {
  score: Scorer;
  record(judgmentId: string): Promise<Judgment | null>;
  clock: Clock;
}

export function rewardRoutes(
  { score, record, clock }: RewardRoutesDependencies,
  { maxBodyBytes, maxPanel, defaults }: RewardRoutesOptions,
): HttpRoutes {
  const bounds = { votes: defaults.votes, panelLimit: defaults.panelLimit, maxPanel };

  const answer = async (json: RewardRequestJson, request: HttpRequest): Promise<object> => {
    const { signal } = request;
    const context = {
      signal,
      deadline: deadlineAt(clock, Number.POSITIVE_INFINITY),
      trace: traceOf(request),
    };
    return toAnswerJson(await score(toScoreRequest(json, bounds), context), json.group_id);
  };

  const one = async (request: HttpRequest): Promise<HttpAnswer> => {
    const json = readJson(rewardRequestJson, await request.text(maxBodyBytes));
    return { status: 200, body: await answer(json, request) };
  };

  const batch = async (request: HttpRequest): Promise<HttpAnswer> => {
    const { items } = readJson(batchRequestJson, await request.text(maxBodyBytes));
    const answers = await inTurn(items, defaults.streamConcurrency, async (item) => {
      try {
        return await answer(checkJson(rewardRequestJson, item), request);
      } catch (thrown) {
        const { code, message, field, retryAfterMs } = CovoteError.from(thrown);
        return { error: { code, message, field, retryAfterMs } };
      }
    });
    return { status: 200, body: { items: answers } };
  };

  const judgment = async (request: HttpRequest): Promise<HttpAnswer> => {
    const id = parseId("judgment_id", request.path.slice(request.path.lastIndexOf("/") + 1));
    const found = await record(id);
    if (found === null) {
      throw new CovoteError("not_found", `judgment_id: no judgment ${id}; records are kept for a day`, {
        field: "judgment_id",
      });
    }
    return { status: 200, body: Judgment.toJSON(found) as object };
  };

  return {
    "POST /v1/rewards": one,
    "POST /v1/rewards:batch": batch,
    "GET /v1/judgments/*": judgment,
    "GET /openapi.json": async () => ({ status: 200, body: openApi() }),
  };
}

/** The span of a request that came in: a child of the caller's, or the root of a new trace. */
function traceOf({ headers }: HttpRequest): TraceContext {
  const { traceparent, tracestate } = headers;
  const text = (value: string | string[] | undefined) => (typeof value === "string" ? value : undefined);
  const parent = parseTraceparent(text(traceparent), text(tracestate));
  return parent === undefined ? newTrace(systemRandomHex) : childTrace(parent, systemRandomHex);
}

/** The results in the order of the items, at most `limit` at a time. */
async function inTurn<T, R>(items: readonly T[], limit: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
