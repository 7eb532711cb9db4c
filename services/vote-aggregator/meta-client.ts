/**
 * Asks the meta RM about votes, in micro-batches.
 *
 * - Votes that arrive within `lingerMs` of each other, up to `batch`, travel in one request.
 * - A request that is too large for a message is split: long texts make a few votes as heavy as a batch.
 * - A request that is not answered within `patienceMs` is asked again, with twice the patience, so that a meta RM
 *   that died with it costs that time and not the judgment's.
 * - Where nobody listens, `patienceMs` is waited for one that is being restarted: votes with a meta score and votes
 *   without should not mix for that. It is waited once: until one answers again, later votes are not held up.
 * - Always answers: a vote that cannot be scored in time, or at all, gets null, and is tallied as a vote
 *   without a meta score.
 */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import { isSampled } from "../../lib/core/trace-context.js";
import { type Tracer, within } from "../../lib/core/tracer.js";
import type { MetaScoreItem, MetaScoreResponse } from "../../lib/wire/gen/covote/v1/judging.js";
import { metaScoreRequestCodec, metaScoreResponseCodec } from "../../lib/wire/messages.js";

export interface MetaVerdict {
  /** Raw logit that the vote is right; null: not scored. */
  logit: number | null;
  /** The meta RM that scored it; empty when none did. */
  version: string;
}

export interface MetaClient {
  /**
   * Never rejects. `deadlineAtMs` in milliseconds since the epoch. Of a batch of several judgments the request
   * carries the trace of the first, and links to the others'.
   */
  score(item: MetaScoreItem, deadlineAtMs: number, traceparent?: string): Promise<MetaVerdict>;
}

export interface MetaClientOptions {
  batch: number;
  lingerMs: number;
  patienceMs: number;
}

interface Waiting {
  item: MetaScoreItem;
  deadlineAtMs: number;
  traceparent: string;
  resolve: (verdict: MetaVerdict) => void;
}

const unscored: MetaVerdict = { logit: null, version: "" };
/** Pause before a request that was refused is sent again. Milliseconds. */
const retryPauseMs = 100;

export function createMetaClient(
  { bus, clock, log, tracer = null }: { bus: Bus; clock: Clock; log: Logger; tracer?: Tracer | null },
  options: MetaClientOptions,
): MetaClient {
  let waiting: Waiting[] = [];
  let lingering = false;
  /** Since when nobody listens, on the monotonic clock; null: somebody does, as far as is known. */
  let absentSince: number | null = null;

  const flush = (): void => {
    lingering = false;
    const all = waiting;
    waiting = [];
    for (let i = 0; i < all.length; i += options.batch) void send(all.slice(i, i + options.batch));
  };

  /** Settles every item of the batch, whatever happens. */
  const send = async (batch: readonly Waiting[]): Promise<void> => {
    try {
      const reply = await ask(batch);
      batch.forEach((w, i) => {
        w.resolve(verdictOn(w.item, reply, i));
      });
    } catch (error) {
      if (batch.length > 1 && CovoteError.from(error).code === "invalid_argument") {
        const middle = Math.ceil(batch.length / 2);
        await Promise.all([send(batch.slice(0, middle)), send(batch.slice(middle))]);
        return;
      }
      log.warn({ error, votes: batch.length }, "meta RM did not answer; votes stay without a meta score");
      for (const w of batch) w.resolve(unscored);
    }
  };

  const ask = async (batch: readonly Waiting[]): Promise<MetaScoreResponse> => {
    const deadlineAtMs = Math.max(...batch.map((w) => w.deadlineAtMs));
    const request = metaScoreRequestCodec.encode({ items: batch.map((w) => w.item), deadlineAtMs });
    const span = tracer && batchSpan(tracer, batch);
    const traceparent = span?.traceparent ?? batch[0]?.traceparent ?? "";
    return within(span, () => answerTo(request, deadlineAtMs, traceparent));
  };

  const answerTo = async (
    request: Uint8Array,
    deadlineAtMs: number,
    traceparent: string,
  ): Promise<MetaScoreResponse> => {
    for (let patienceMs = options.patienceMs; ; ) {
      const timeoutMs = Math.min(patienceMs, deadlineAtMs - clock.now());
      try {
        const reply = await bus.request(bus.subjects.metaScores(), request, { timeoutMs, traceparent });
        absentSince = null;
        return metaScoreResponseCodec.decode(reply);
      } catch (thrown) {
        const error = CovoteError.from(thrown);
        if (!worthAnother(error) || clock.now() + retryPauseMs >= deadlineAtMs) throw error;
        if (error.code !== "unavailable") patienceMs *= 2;
        await clock.sleep(Math.max(retryPauseMs, error.retryAfterMs ?? 0));
      }
    }
  };

  const worthAnother = ({ code }: CovoteError): boolean => {
    if (code === "unavailable") {
      absentSince ??= clock.monotonic();
      return clock.monotonic() + retryPauseMs - absentSince <= options.patienceMs;
    }
    const someoneListens = code === "deadline_exceeded" || code === "overloaded";
    if (someoneListens) absentSince = null;
    return someoneListens;
  };

  return {
    score: (item, deadlineAtMs, traceparent = "") =>
      new Promise((resolve) => {
        waiting.push({ item, deadlineAtMs, traceparent, resolve });
        if (waiting.length >= options.batch) flush();
        else if (!lingering) {
          lingering = true;
          clock.after(options.lingerMs, flush);
        }
      }),
  };
}

/** A child of the first vote's, linked to the others'. */
function batchSpan(tracer: Tracer, batch: readonly Waiting[]) {
  const [parent, ...links] = batch.map((w) => w.traceparent).filter(isSampled);
  if (parent === undefined) return null;
  const attributes = { "covote.votes": batch.length };
  return tracer.start("meta-scores request", { kind: "client", parent, links, attributes });
}

/** Answers stand in the order of the items. */
function verdictOn(item: MetaScoreItem, { scores, version }: MetaScoreResponse, index: number): MetaVerdict {
  const score = scores[index];
  if (score?.voteId !== item.voteId) return unscored;
  const { logit } = score;
  return logit === undefined || !Number.isFinite(logit) ? unscored : { logit, version };
}
