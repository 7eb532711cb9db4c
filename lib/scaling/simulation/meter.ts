/** What a co-scaler would read of the simulated pipeline: the same figures, over the time since it last looked. */
import { type Observation, type PerPool, perPool, poolNames } from "../observation.js";
import type { Batches } from "./batches.js";
import type { Dispatch } from "./dispatch.js";
import type { Fleet } from "./fleet.js";
import type { Flow, FlowTotals } from "./flow.js";
import { type PipelineModel, panelsPerGroup } from "./model.js";

export interface Meter {
  /** The observation of the time since the last call. */
  read(nowS: number): Observation;
}

interface Reading {
  atS: number;
  totals: FlowTotals;
  served: PerPool<number>;
  requestSeconds: PerPool<number>;
  readySeconds: PerPool<number>;
}

export function createMeter(
  model: PipelineModel,
  parts: { batches: Batches; dispatch: Dispatch; fleet: Fleet; flow: Flow },
): Meter {
  const { batches, dispatch, fleet, flow } = parts;
  const panels = panelsPerGroup(model);

  function take(atS: number): Reading {
    batches.settle(atS);
    return {
      atS,
      totals: { ...flow.totals, counted: [...flow.totals.counted], cost: [...flow.totals.cost] },
      served: perPool((pool) => batches.served[poolNames.indexOf(pool)] as number),
      requestSeconds: perPool((pool) => batches.requestSeconds[poolNames.indexOf(pool)] as number),
      readySeconds: perPool((pool) => fleet.readySeconds(pool, atS)),
    };
  }

  let before = take(0);
  // Of the last time that anything was started in a pool: how many counted tokens a served one stands for.
  const countedShare = perPool(() => 1);

  return {
    read: (nowS) => {
      const now = take(nowS);
      const change = (of: (reading: Reading) => number): number => of(now) - of(before);
      const total = (
        name: "responses" | "responseTokens" | "votes" | "voteTokens" | "metaScores" | "metaTokens",
      ) => change((reading) => reading.totals[name]);
      const passedS = change((reading) => reading.atS);
      const learnerShare = change((reading) => reading.totals.learnerBusyS) / passedS;
      const observation: Observation = {
        nowMs: nowS * 1000,
        budgetGpus: fleet.gpus(),
        k: flow.votes(),
        pools: perPool((pool) => {
          const p = poolNames.indexOf(pool);
          const cost = change((reading) => reading.totals.cost[p] as number);
          if (cost > 0) countedShare[pool] = change((reading) => reading.totals.counted[p] as number) / cost;
          const readyS = change((reading) => reading.readySeconds[pool]);
          const served = change((reading) => reading.served[pool]);
          const taken = change((reading) => reading.requestSeconds[pool]);
          const { replicas, ready } = fleet.counts(pool);
          const worked = readyS > 0 && served > 0;
          return {
            replicas,
            ready,
            tokensPerS: worked ? (served * countedShare[pool]) / readyS : null,
            utilisation: worked ? Math.min(1, taken / (readyS * model.engines[pool].slots)) : null,
            backlog: { items: dispatch.waiting(p), tokens: 0 },
            ageMs: worked ? 0 : null,
            startsMs: fleet.takeStarts(pool).map((seconds) => seconds * 1000),
          };
        }),
        work: {
          responsesPerStep: model.groupsPerStep * model.groupSize,
          tokensPerResponse: ratio(total("responseTokens"), total("responses")),
          votesPerResponse: (panels * flow.votes()) / model.groupSize,
          tokensPerVote: ratio(total("voteTokens"), total("votes")),
          metaScoresPerVote: model.engines.metaRm.slots > 0 ? 1 : 0,
          tokensPerMetaScore: ratio(total("metaTokens"), total("metaScores")),
          ageMs: 0,
        },
        learner: {
          stepMs: flow.totals.steps > 0 ? flow.totals.lastStepS * 1000 : null,
          waiting: Math.min(1, Math.max(0, 1 - learnerShare)),
        },
      };
      before = now;
      return observation;
    },
  };
}

function ratio(sum: number, count: number): number | null {
  return count > 0 ? sum / count : null;
}
