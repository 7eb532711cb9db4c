/**
 * The pipeline that is simulated, as numbers. Times are seconds, lengths are tokens, shares are 0..1.
 *
 * What varies over time is a function of the moment: seconds since the start and steps that the learner has taken.
 */
import type { PerPool } from "../observation.js";

/** A batching engine: with b requests in its batch, each of them gets a token every t0 + t1·b seconds. */
export interface EngineModel {
  t0S: number;
  t1S: number;
  /** Requests that fit into the batch. */
  slots: number;
  gpusPerReplica: number;
}

export interface Moment {
  atS: number;
  /** Steps that the learner has taken. */
  step: number;
}

/** What changes during a run. */
export interface Drift {
  /** Mean tokens of a response. */
  responseTokens: number;
  /** Mean tokens of a vote. */
  voteTokens: number;
  /** How much slower than its model each pool's engines are; 1 is as modelled. */
  slowness: PerPool<number>;
}

export interface NodeLoss {
  atS: number;
  untilS: number;
  /** Nodes that go, by number. */
  nodes: readonly number[];
}

export interface PipelineModel {
  gpus: number;
  gpusPerNode: number;
  engines: PerPool<EngineModel>;
  groupsPerStep: number;
  /** Responses of a group. */
  groupSize: number;
  /** Responses that a vote sees. */
  panelSize: number;
  /** Most votes that a worker takes at once: they share the panel's prompt. */
  ballotVotes: number;
  /** Votes per panel at the start. */
  k: number;
  /** Most versions between sampling and training; bounds the groups under way. */
  maxStaleness: number;
  promptTokens: number;
  /** What reading a token costs, in generated ones. */
  prefillCost: number;
  /** Standard deviations of the logarithm: of a query's lengths, of a response about its query's, of a vote. */
  sigma: { query: number; response: number; vote: number };
  learner: { baseS: number; tokensPerS: number };
  /** From "wanted" with a free GPU to "ready": mean and standard deviation of the logarithm. */
  start: { meanS: number; sigma: number };
  /** Longest that a replica finishes what it has before its work is handed back. */
  drainS: number;
  /** Crashes of a replica per hour that it is up. */
  crashesPerHour: number;
  losses: readonly NodeLoss[];
  drift(moment: Moment): Drift;
}

/** Tokens per second of an engine with b requests in its batch. */
export function tokensPerS({ t0S, t1S }: EngineModel, b: number): number {
  return b / (t0S + t1S * b);
}

export function panelsPerGroup({ groupSize, panelSize }: PipelineModel): number {
  return Math.ceil(groupSize / panelSize);
}

/**
 * Mean work of one step for each pool, in tokens as generated ones cost (`cost`) and as a meter counts them
 * (`counted`): generated tokens for policy and GRM, tokens read for the meta RM.
 */
export function workPerStep(
  model: PipelineModel,
  { responseTokens, voteTokens }: Pick<Drift, "responseTokens" | "voteTokens">,
  k: number,
): PerPool<{ cost: number; counted: number }> {
  const { groupsPerStep, groupSize, promptTokens, prefillCost } = model;
  const panels = panelsPerGroup(model);
  const responses = groupsPerStep * groupSize;
  const votes = groupsPerStep * panels * k;
  const ballots = groupsPerStep * panels * Math.ceil(k / model.ballotVotes);
  const panelTokens = promptTokens + (responseTokens * groupSize) / panels;
  const scored = ballots * panelTokens + votes * voteTokens;
  return {
    policy: {
      cost: responses * responseTokens + groupsPerStep * promptTokens * prefillCost,
      counted: responses * responseTokens,
    },
    grm: { cost: votes * voteTokens + ballots * panelTokens * prefillCost, counted: votes * voteTokens },
    metaRm: { cost: scored * prefillCost, counted: scored },
  };
}
