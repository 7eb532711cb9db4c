/**
 * meta-rm: scores votes for the aggregators. Requests come as micro-batches; those that arrive while the
 * engine is busy are joined into its next batch, up to `batch` items.
 *
 * An item that cannot be scored gets no logit and a reason; it never fails its neighbours.
 */
import type { Bus } from "../../lib/bus/bus.js";
import { followModel } from "../../lib/bus/model-versions.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { ScalarEngine } from "../../lib/engine/engine.js";
import { isChatMessage } from "../../lib/grm/chat.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import type { Metrics } from "../../lib/host/metrics.js";
import type { MetaScore, MetaScoreItem } from "../../lib/wire/gen/covote/v1/judging.js";
import { metaScoreRequestCodec, metaScoreResponseCodec } from "../../lib/wire/messages.js";
import { createBatcher } from "./batcher.js";
import { metaMetrics } from "./metrics.js";

export interface MetaRmDependencies {
  bus: Bus;
  /** How requests are answered, when they are to be counted as well; default: by the bus. */
  respond?: Bus["respond"];
  engine: ScalarEngine;
  grammar: Grammar;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

export interface MetaRmOptions {
  /** Most items in one engine call. */
  batch: number;
}

export interface MetaRm {
  stop(deadline: Deadline): Promise<void>;
}

export async function startMetaRm(
  { bus, respond = bus.respond, engine, grammar, clock, log, metrics }: MetaRmDependencies,
  options: MetaRmOptions,
): Promise<MetaRm> {
  const meter = metaMetrics(metrics);
  const weights = await followModel(bus, { role: "meta-rm", log, load: (w) => engine.load(w) });

  const scoreAll = async (items: readonly MetaScoreItem[]): Promise<MetaScore[]> => {
    const started = clock.monotonic();
    const conversations = items.map((item) =>
      grammar.metaConversation({
        query: (item.query?.messages ?? []).filter(isChatMessage),
        responses: item.responses,
        judgmentText: item.judgmentText,
      }),
    );
    const logits = await engine.score(conversations, {});
    meter.scored(items.length, clock.monotonic() - started);
    return items.map((item, i) => toMetaScore(item.voteId, logits[i]));
  };
  const batcher = createBatcher(scoreAll, options.batch);

  const answers = respond(bus.subjects.metaScores(), { queue: "meta-rm" }, async (data) => {
    const { items, deadlineAtMs } = metaScoreRequestCodec.decode(data);
    if (deadlineAtMs <= clock.now()) {
      throw new CovoteError("deadline_exceeded", "the votes' deadline passed before they were scored");
    }
    const scores = await batcher.add(items);
    return metaScoreResponseCodec.encode({ scores, version: engine.version().version });
  });

  return {
    stop: async () => {
      await answers.drain();
      weights.close();
    },
  };
}

function toMetaScore(voteId: string, logit: number | Error | undefined): MetaScore {
  if (typeof logit === "number") return { voteId, logit, failure: "" };
  return { voteId, logit: undefined, failure: logit?.message ?? "the engine gave no score" };
}
