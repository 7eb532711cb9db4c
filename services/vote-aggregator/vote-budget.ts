/**
 * How many votes judgments get that were not asked for a number of their own, when a co-scaler decides it.
 *
 * - It is taken up by judgments that begin; one that runs keeps the number it began with.
 * - Within this aggregator's own bounds, whatever was decided. What is out of date, or cannot be read, is nothing: then
 *   the number that was asked for holds.
 * - Every change is logged, and a judgment's record says what was asked for and who decided otherwise.
 */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Logger } from "../../lib/core/logger.js";
import type { VoteBudget as Decided } from "../../lib/wire/gen/covote/v1/scaling.js";
import { voteBudgetCodec } from "../../lib/wire/messages.js";
import type { JudgeRequest } from "./judge-request.js";

export interface ChosenVotes {
  votes: number;
  decisionId: string;
}

export interface VoteBudget {
  /** Null: as asked for. */
  choose(): ChosenVotes | null;
  close(): void;
}

export interface VoteBudgetBounds {
  min: number;
  max: number;
}

export async function followVoteBudget(
  { bus, clock, log }: { bus: Bus; clock: Clock; log: Logger },
  { min, max }: VoteBudgetBounds,
): Promise<VoteBudget> {
  let decided: Decided | null = null;
  const store = await bus.kv("scaling");
  const watch = await store.watch("votes", ({ value }) => {
    const before = decided?.votes;
    decided = value === null ? null : voteBudgetCodec.decode(value);
    if (decided === null || decided.votes === before) return;
    const { votes, decisionId } = decided;
    log.info(
      { decision_id: decisionId, votes: bounded(votes), decided: votes },
      "judgments get another number of votes",
    );
  });
  await watch.ready;

  const bounded = (votes: number): number => Math.min(max, Math.max(min, votes));
  return {
    choose: () => {
      if (decided === null || decided.votes < 1 || clock.now() > decided.validUntilMs) return null;
      return { votes: bounded(decided.votes), decisionId: decided.decisionId };
    },
    close: () => watch.close(),
  };
}

/** The request with the votes that were decided, where it leaves them open. The meta RM keeps the same share of them. */
export function withDecidedVotes(
  request: JudgeRequest,
  budget: Pick<VoteBudget, "choose"> | undefined,
): JudgeRequest {
  const chosen = request.flexible === true ? (budget?.choose() ?? null) : null;
  if (chosen === null) return request;
  const { votes: asked, metaKeep } = request;
  const { votes, decisionId } = chosen;
  const kept =
    metaKeep === null ? null : Math.min(votes, Math.max(1, Math.round((metaKeep * votes) / asked)));
  return { ...request, votes, metaKeep: kept, voteChoice: { asked, votes, decisionId } };
}
