/**
 * Asks the meta RM about votes, in micro-batches.
 *
 * - Votes that arrive within `lingerMs` of each other, up to `batch`, travel in one request.
 * - Always answers: a vote that cannot be scored in time, or at all, gets null, and is tallied as a vote
 *   without a meta score.
 */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Logger } from "../../lib/core/logger.js";
import type { MetaScoreItem } from "../../lib/wire/gen/covote/v1/judging.js";
import { metaScoreRequestCodec, metaScoreResponseCodec } from "../../lib/wire/messages.js";

export interface MetaClient {
  /** The vote's logit, or null. Never rejects. */
  score(item: MetaScoreItem, deadlineAtMs: number): Promise<number | null>;
}

export interface MetaClientOptions {
  batch: number;
  lingerMs: number;
}

interface Waiting {
  item: MetaScoreItem;
  deadlineAtMs: number;
  resolve: (logit: number | null) => void;
}

export function createMetaClient(
  { bus, clock, log }: { bus: Bus; clock: Clock; log: Logger },
  options: MetaClientOptions,
): MetaClient {
  let waiting: Waiting[] = [];
  let lingering = false;

  const flush = (): void => {
    lingering = false;
    const all = waiting;
    waiting = [];
    for (let i = 0; i < all.length; i += options.batch) void send(all.slice(i, i + options.batch));
  };

  /** Settles every item of the batch, whatever happens. */
  const send = async (batch: readonly Waiting[]): Promise<void> => {
    const logits = await ask(batch).catch((error: unknown) => {
      log.warn({ error, votes: batch.length }, "meta RM did not answer; votes stay without a meta score");
      return new Map<string, number>();
    });
    for (const w of batch) w.resolve(logits.get(w.item.voteId) ?? null);
  };

  const ask = async (batch: readonly Waiting[]): Promise<Map<string, number>> => {
    const deadlineAtMs = Math.max(...batch.map((w) => w.deadlineAtMs));
    const timeoutMs = deadlineAtMs - clock.now();
    if (timeoutMs <= 0) return new Map();
    const request = metaScoreRequestCodec.encode({ items: batch.map((w) => w.item), deadlineAtMs });
    const reply = metaScoreResponseCodec.decode(
      await bus.request(bus.subjects.metaScores(), request, { timeoutMs }),
    );
    const logits = new Map<string, number>();
    for (const score of reply.scores) {
      if (score.logit !== undefined && Number.isFinite(score.logit)) logits.set(score.voteId, score.logit);
    }
    return logits;
  };

  return {
    score: (item, deadlineAtMs) =>
      new Promise((resolve) => {
        waiting.push({ item, deadlineAtMs, resolve });
        if (waiting.length >= options.batch) flush();
        else if (!lingering) {
          lingering = true;
          clock.after(options.lingerMs, flush);
        }
      }),
  };
}
