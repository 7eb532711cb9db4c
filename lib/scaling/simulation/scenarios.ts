/**
 * The scenarios of `covote bench scaling`: one pipeline at three sizes, and what happens to it.
 *
 * The engines are modelled after published speeds of a 7B model on one GPU (8 GPUs) and a 32B model on two (64 and 1,024
 * GPUs). Everything is a parameter of the model, and the planner is told none of it.
 */
import { createRandom, seedFrom } from "../../core/random.js";
import { perPool } from "../observation.js";
import { stepsIn, stepsOfProgress } from "./fluid.js";
import type { Drift, EngineModel, Moment, PipelineModel } from "./model.js";

export const scenarioNames = ["steady", "growing", "slow-grm", "node-loss", "bursty"] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export interface Scenario {
  name: ScenarioName;
  gpus: number;
  model: PipelineModel;
  /** Steps of the training. */
  steps: number;
}

export interface ScenarioOptions {
  gpus: number;
  seed: number;
  /** About how long the training takes under the best split. */
  hours: number;
  /** Mean length of a spell of `bursty`, and of the calm between two. */
  spellHours?: number;
}

const small: EngineModel = { t0S: 0.009, t1S: 0.00012, slots: 64, gpusPerReplica: 1 };
const large: EngineModel = { t0S: 0.016, t1S: 0.0002, slots: 64, gpusPerReplica: 2 };
const scalar: EngineModel = { t0S: 0.006, t1S: 0.00012, slots: 64, gpusPerReplica: 1 };
const largeScalar: EngineModel = { t0S: 0.009, t1S: 0.00012, slots: 64, gpusPerReplica: 2 };

export function pipelineOf(gpus: number, drift: (moment: Moment) => Drift): PipelineModel {
  const engine = gpus < 32 ? small : large;
  return {
    gpus,
    gpusPerNode: gpus < 32 ? 2 : 8,
    engines: { policy: engine, grm: engine, metaRm: gpus < 32 ? scalar : largeScalar },
    groupsPerStep: Math.max(16, gpus),
    groupSize: 16,
    panelSize: 8,
    ballotVotes: 8,
    k: 8,
    maxStaleness: 4,
    promptTokens: 500,
    prefillCost: 0.05,
    sigma: { query: 0.5, response: 0.5, vote: 0.4 },
    learner: { baseS: 3, tokensPerS: gpus < 32 ? gpus * 4000 : gpus * 1200 },
    start: { meanS: 180, sigma: 0.35 },
    drainS: 300,
    crashesPerHour: 0.002,
    losses: [],
    drift,
  };
}

const usual: Drift = { responseTokens: 2000, voteTokens: 1000, slowness: perPool(() => 1) };

/** Share of the GPUs that node-loss takes. */
const lostShare = 0.25;
/** Spells of prompts that are hard to judge: their critiques are longer. Each spell lasts half to one and a half means. */
const burstFactor = 3;

export function scenario(
  name: ScenarioName,
  { gpus, seed, hours, spellHours = 1.5 }: ScenarioOptions,
): Scenario {
  const totalS = hours * 3600;
  const plain = pipelineOf(gpus, () => usual);
  const made = (model: PipelineModel): Scenario => ({ name, gpus, model, steps: stepsIn(model, totalS) });
  switch (name) {
    case "steady":
      return made(plain);
    case "growing": {
      // The length depends on progress, and so the number of steps on the length: both from one sweep.
      const grown = (share: number): Drift => ({
        ...usual,
        responseTokens: 800 * 10 ** Math.min(1, share),
        voteTokens: 800 * 2 ** Math.min(1, share),
      });
      const steps = stepsOfProgress(plain, grown, totalS);
      return { name, gpus, steps, model: pipelineOf(gpus, ({ step }) => grown(step / steps)) };
    }
    case "slow-grm": {
      const slow: Drift = { ...usual, slowness: { policy: 1, grm: 2, metaRm: 1 } };
      return made(pipelineOf(gpus, ({ atS }) => (atS < totalS / 4 ? usual : slow)));
    }
    case "node-loss": {
      const nodes = Math.ceil(gpus / plain.gpusPerNode);
      const lost = Math.max(1, Math.round(nodes * lostShare));
      // A rack: neighbours, somewhere.
      const first = createRandom(seedFrom(seed, "rack")).below(nodes - lost + 1);
      const rack = Array.from({ length: lost }, (_, i) => first + i);
      return made({ ...plain, losses: [{ atS: totalS / 6, untilS: totalS / 2, nodes: rack }] });
    }
    case "bursty": {
      const turns = burstTimes(seed, spellHours * 3600, 20 * totalS);
      const long: Drift = { ...usual, voteTokens: usual.voteTokens * burstFactor };
      return made(pipelineOf(gpus, ({ atS }) => (isOn(turns, atS) ? long : usual)));
    }
  }
}

/** Moments at which hard prompts come and go. */
function burstTimes(seed: number, meanS: number, untilS: number): Float64Array {
  const random = createRandom(seedFrom(seed, "bursts"));
  const turns: number[] = [];
  for (let atS = 0; atS < untilS; ) {
    atS += (0.5 + random.next()) * meanS;
    turns.push(atS);
  }
  return Float64Array.from(turns);
}

/** Every second turn begins a burst. */
function isOn(turns: Float64Array, atS: number): boolean {
  let low = 0;
  let high = turns.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((turns[middle] as number) <= atS) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1;
}
