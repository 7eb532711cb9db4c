/**
 * meta-rm: scores votes for the aggregators. Requests come as micro-batches; those that arrive while the
 * engine is busy are joined into its next batch, up to `batch` items.
 *
 * An item that cannot be scored gets no logit and a reason; it never fails its neighbours.
 */
import type { Bus } from "../../lib/bus/bus.js";
import { followModel } from "../../lib/bus/model-versions.js";
import type { Clock } from "../../lib/core/clock.js";
import { type Deadline, withDeadline } from "../../lib/core/deadline.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { ScalarEngine } from "../../lib/engine/engine.js";
import { type ChatMessage, isChatMessage } from "../../lib/grm/chat.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import type { JudgedInput } from "../../lib/grm/judgment.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { engineMetrics } from "../../lib/runtime/engine-metrics.js";
import { type LoadOptions, reportLoad } from "../../lib/runtime/load-reports.js";
import { modelMetrics } from "../../lib/runtime/model-metrics.js";
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
  /** Default: the meta RM tells nobody how busy it is. */
  load?: LoadOptions;
}

export interface MetaRm {
  stop(deadline: Deadline): Promise<void>;
}

export async function startMetaRm(
  { bus, respond = bus.respond, engine, grammar, clock, log, metrics }: MetaRmDependencies,
  options: MetaRmOptions,
): Promise<MetaRm> {
  const meter = metaMetrics(metrics);
  const work = { items: 0, itemTokens: 0 };
  engineMetrics(metrics, "meta-rm", engine);
  const model = modelMetrics(metrics, clock, "meta-rm", engine.version().number);
  const weights =
    engine.load === undefined
      ? null
      : await followModel(bus, {
          role: "meta-rm",
          clock,
          log,
          announced: model.announced,
          load: (version) => model.exchange(version, async () => engine.load?.(version)),
        });

  const scoreAll = async (items: readonly MetaScoreItem[], signal: AbortSignal): Promise<Scored[]> => {
    const started = clock.monotonic();
    const { version } = engine.version();
    const conversations = items.map((item) => conversationOf(grammar, item));
    const wellFormed = conversations.filter((c): c is readonly ChatMessage[] => !(c instanceof CovoteError));
    const logits = wellFormed.length === 0 ? [] : await engine.score(wellFormed, { signal });
    const elapsedMs = clock.monotonic() - started;
    work.items += wellFormed.length;
    let next = 0;
    let without = 0;
    const scored = items.map((item, i) => {
      const conversation = conversations[i];
      const logit = conversation instanceof CovoteError ? conversation : logits[next++];
      if (typeof logit !== "number") without++;
      return { score: toMetaScore(item.voteId, logit), version };
    });
    meter.scored(items.length, without, elapsedMs);
    return scored;
  };
  const batcher = createBatcher(scoreAll, { limit: options.batch, clock });

  const answers = respond(bus.subjects.metaScores(), { queue: "meta-rm" }, async (data) => {
    const { items, deadlineAtMs } = metaScoreRequestCodec.decode(data);
    const scored = await batcher.add(items, deadlineAtMs);
    return metaScoreResponseCodec.encode({
      scores: scored.map(({ score }) => score),
      version: scored.at(-1)?.version ?? "",
    });
  });

  const load = reportLoad(
    { bus, clock },
    {
      role: "meta-rm",
      engine: { stats: () => engine.stats(), work: () => work, waiting: () => batcher.waiting() },
    },
    options.load,
  );

  return {
    stop: async (deadline) => {
      await withDeadline(deadline, { what: "answers of the meta RM", clock }, () => answers.drain());
      load.stop();
      weights?.close();
    },
  };
}

interface Scored {
  score: MetaScore;
  /** The weights that scored it. */
  version: string;
}

function conversationOf(grammar: Grammar, item: MetaScoreItem): readonly ChatMessage[] | CovoteError {
  const query = (item.query?.messages ?? []).filter(isChatMessage);
  const { responses, reference, judgmentText, steps } = item;
  const judged: JudgedInput = { query, responses };
  if (reference !== undefined) judged.reference = reference;
  if (steps !== undefined) judged.steps = steps.responses.map(({ texts }) => texts);
  try {
    return grammar.metaConversation({ ...judged, judgmentText });
  } catch (thrown) {
    return CovoteError.from(thrown);
  }
}

function toMetaScore(voteId: string, logit: number | Error | undefined): MetaScore {
  if (typeof logit === "number") return { voteId, logit, failure: "" };
  return { voteId, logit: undefined, failure: logit?.message ?? "the engine gave no score" };
}
