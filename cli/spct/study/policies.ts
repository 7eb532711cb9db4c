/** What votes are worth to a policy: the same number of votes, spent in three ways. */
import { mean, overSeeds } from "./figures.js";
import type { StudySize } from "./size.js";
import type { Stage } from "./stage.js";
import { at, metaRmOf } from "./stages.js";

/** Ways to spend the same number of votes on a policy's training: many groups judged once, or few judged well. */
export const spendings = {
  "1 vote, 64 groups a step": { votes: 1, groups: 64, metaKeep: 0 },
  "8 votes, 8 groups a step": { votes: 8, groups: 8, metaKeep: 0 },
  "8 votes with meta RM, 8 groups a step": { votes: 8, groups: 8, metaKeep: 4 },
} as const;
export type Spending = keyof typeof spendings;
export const spendingNames = Object.keys(spendings) as Spending[];

/** The parts of a run's summary that the study reads. */
export interface PolicySummary {
  utility: { before: number; after: number } | null;
  votes: number;
}

/** Three policies with equal compute of the reward model: the base judges them, for as many steps each. */
export function policyStages(seed: number, base: string, size: StudySize): Stage[] {
  return spendingNames.map((spending) => {
    const { votes, groups, metaKeep } = spendings[spending];
    const meta = metaKeep > 0 ? [metaRmOf("base", seed)] : [];
    const settings = {
      "training.groupsPerStep": groups,
      "judging.votes": votes,
      "judging.votesPerBallot": Math.min(2, votes),
      "metaRm.keep": metaKeep,
      "grm.checkpoint": base,
      "grpc.address": "127.0.0.1:0",
      "metrics.port": 0,
      ...(meta[0] === undefined ? {} : { "metaRm.checkpoint": meta[0] }),
    };
    return {
      title: `seed ${seed}: policy trained with ${spending}`,
      args: [
        ...[
          "train",
          "--seed",
          `${seed}`,
          "--steps",
          `${size.policySteps}`,
          "--out",
          at(seed, "runs"),
          "--json",
        ],
        ...Object.entries(settings).flatMap(([path, value]) => ["--set", `${path}=${value}`]),
      ],
      inputs: [base, ...meta],
      result: policyResult(seed, spending),
      capture: true,
    };
  });
}

export function policyResult(seed: number, spending: Spending): string {
  const { votes, metaKeep } = spendings[spending];
  return at(seed, `policy-${votes}${metaKeep > 0 ? "-meta" : ""}.json`);
}

export interface PolicyFigure {
  spending: Spending;
  /** Oracle utility on the held-out queries after training, 0..1, by seed. */
  seeds: { seed: number; before: number; after: number }[];
  /** Mean over seeds, with the interval of Student's t over them. */
  after: ReturnType<typeof overSeeds>;
  /** Above the first spending, paired by seed; null for that itself. */
  gain: ReturnType<typeof overSeeds> | null;
  /** Votes of a run, mean. */
  votes: number;
}

/** `read`: a run's summary. */
export function policyFigures(
  seeds: readonly number[],
  read: (seed: number, spending: Spending) => PolicySummary,
): PolicyFigure[] {
  const runs = spendingNames.map((spending) => ({
    spending,
    runs: seeds.map((seed) => ({ seed, summary: read(seed, spending) })),
  }));
  const afterOf = (at: number): number[] =>
    runs[at]?.runs.map(({ summary }) => summary.utility?.after ?? Number.NaN) ?? [];
  return runs.map(({ spending, runs: of }, at) => ({
    spending,
    seeds: of.map(({ seed, summary }) => ({
      seed,
      before: summary.utility?.before ?? Number.NaN,
      after: summary.utility?.after ?? Number.NaN,
    })),
    after: overSeeds(afterOf(at)),
    gain:
      at === 0 ? null : overSeeds(afterOf(at).map((after, seed) => after - (afterOf(0)[seed] ?? Number.NaN))),
    votes: mean(of.map(({ summary }) => summary.votes)),
  }));
}
