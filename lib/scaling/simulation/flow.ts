/**
 * The way of a group: sampled by the policy pool, judged on its panels by the GRM pool, its votes scored by the meta RM
 * pool, trained on by the learner. New groups are asked for as the staleness bound admits them (AReaL, arXiv 2505.24298,
 * section 5.1): what was asked for and not trained on never exceeds (maxStaleness + 1) batches.
 */
import type { Random } from "../../core/random.js";
import { poolNames } from "../observation.js";
import type { Dispatch } from "./dispatch.js";
import { logNormal } from "./lengths.js";
import { type Drift, type PipelineModel, panelsPerGroup } from "./model.js";
import type { Timeline } from "./timeline.js";

const [policy, grm, metaRm] = [0, 1, 2] as const;

/** Running totals since the start; whoever measures takes differences. */
export interface FlowTotals {
  /** Groups asked for, judged, trained on. */
  asked: number;
  judged: number;
  trained: number;
  steps: number;
  /** Jobs' ends. */
  responses: number;
  responseTokens: number;
  votes: number;
  voteTokens: number;
  metaScores: number;
  metaTokens: number;
  /** Tokens as counted and as they cost, of all that was started, per pool: their ratio makes meters of costs. */
  counted: number[];
  cost: number[];
  learnerBusyS: number;
  lastStepS: number;
}

export interface Flow {
  readonly totals: Readonly<FlowTotals>;
  /** Groups under way: asked for and not judged. */
  open(): number;
  /** Asks for what the bound admits. */
  begin(nowS: number): void;
  setVotes(k: number): void;
  votes(): number;
  /** Draws the lengths of a job's requests. */
  lengths(job: number, pool: number, nowS: number, part: (left: number, count: number) => void): void;
  /** Length of a request that starts again. */
  again(pool: number, nowS: number): number;
  jobEnded(job: number, pool: number, nowS: number): void;
}

export function createFlow(
  model: PipelineModel,
  deps: { dispatch: () => Dispatch; timeline: Timeline; random: Random; onStep?: (nowS: number) => void },
): Flow {
  const { timeline, random } = deps;
  const { groupsPerStep, groupSize, maxStaleness, prefillCost, ballotVotes, promptTokens } = model;
  const metaPool = model.engines.metaRm.slots > 0;
  const panels = panelsPerGroup(model);
  const queryFactor = logNormal(model.sigma.query);
  const responseFactor = logNormal(model.sigma.response);
  const voteFactor = logNormal(model.sigma.vote);
  const totals: FlowTotals = {
    asked: 0,
    judged: 0,
    trained: 0,
    steps: 0,
    responses: 0,
    responseTokens: 0,
    votes: 0,
    voteTokens: 0,
    metaScores: 0,
    metaTokens: 0,
    counted: poolNames.map(() => 0),
    cost: poolNames.map(() => 0),
    learnerBusyS: 0,
    lastStepS: 0,
  };
  let k = model.k;
  let ready = 0;
  let readyTokens = 0;
  let training = false;

  // Per group: tokens of its responses, ballots that are not done. Per job: tokens of its votes.
  const groupTokens: number[] = [];
  const groupBallots: number[] = [];
  const freeGroups: number[] = [];
  const jobTokens: number[] = [];

  const drift = (nowS: number): Drift => model.drift({ atS: nowS, step: totals.steps });
  const scratch = new Float64Array(1024);

  /** `size` lengths about `mean`, ascending in `scratch`; returns their sum. */
  function drawLengths(size: number, mean: number, factor: { draw(random: Random): number }): number {
    let sum = 0;
    for (let n = 0; n < size; n++) {
      const tokens = Math.max(1, mean * factor.draw(random));
      sum += tokens;
      let i = n;
      while (i > 0 && (scratch[i - 1] as number) > tokens) {
        scratch[i] = scratch[i - 1] as number;
        i--;
      }
      scratch[i] = tokens;
    }
    return sum;
  }

  /**
   * The drawn lengths as parts: the longest alone, the others in at most three of neighbours that end together at their
   * mean. Work and the job's end are exact; when the batch empties in between is not, to a few percent of a length.
   */
  function emit(size: number, extra: number, part: (left: number, count: number) => void): void {
    const others = size - 1;
    const per = Math.max(1, Math.ceil(others / 3));
    for (let from = 0; from < others; from += per) {
      const to = Math.min(others, from + per);
      let sum = 0;
      for (let i = from; i < to; i++) sum += scratch[i] as number;
      part(sum / (to - from) + extra, to - from);
    }
    part((scratch[size - 1] as number) + extra, 1);
  }

  function account(pool: number, counted: number, cost: number): void {
    totals.counted[pool] = (totals.counted[pool] as number) + counted;
    totals.cost[pool] = (totals.cost[pool] as number) + cost;
  }

  function ask(nowS: number): void {
    const underWay = totals.asked - totals.judged;
    const admitted = (maxStaleness + totals.steps + 1) * groupsPerStep - (totals.judged + underWay);
    for (let i = 0; i < admitted; i++) {
      const group = freeGroups.pop() ?? groupTokens.length;
      groupTokens[group] = 0;
      totals.asked++;
      deps.dispatch().submit(policy, group, groupSize, nowS);
    }
  }

  function judge(group: number, nowS: number): void {
    const perPanel = Math.ceil(k / ballotVotes);
    groupBallots[group] = panels * perPanel;
    for (let panel = 0; panel < panels; panel++) {
      for (let left = k; left > 0; left -= ballotVotes) {
        deps.dispatch().submit(grm, group, Math.min(left, ballotVotes), nowS);
      }
    }
  }

  function ballotDone(group: number, nowS: number): void {
    const left = (groupBallots[group] as number) - 1;
    groupBallots[group] = left;
    if (left > 0) return;
    totals.judged++;
    ready++;
    readyTokens += groupTokens[group] as number;
    freeGroups.push(group);
    train(nowS);
    ask(nowS);
  }

  function train(nowS: number): void {
    if (training || ready < groupsPerStep) return;
    training = true;
    const tokens = (readyTokens * groupsPerStep) / ready;
    ready -= groupsPerStep;
    readyTokens -= tokens;
    const stepS = model.learner.baseS + tokens / model.learner.tokensPerS;
    timeline.at(nowS + stepS, () => {
      training = false;
      totals.steps++;
      totals.trained += groupsPerStep;
      totals.learnerBusyS += stepS;
      totals.lastStepS = stepS;
      deps.onStep?.(nowS + stepS);
      ask(nowS + stepS);
      train(nowS + stepS);
    });
  }

  return {
    totals,
    open: () => totals.asked - totals.judged,
    begin: ask,
    setVotes: (votes) => {
      k = votes;
    },
    votes: () => k,
    lengths: (job, pool, nowS, part) => {
      const dispatch = deps.dispatch();
      const size = dispatch.sizeOf(job);
      const group = dispatch.ownerOf(job);
      const { responseTokens, voteTokens } = drift(nowS);
      if (pool === policy) {
        const tokens = drawLengths(size, responseTokens * queryFactor.draw(random), responseFactor);
        groupTokens[group] = tokens;
        const prefill = promptTokens * prefillCost;
        account(policy, tokens, tokens + prefill);
        emit(size, prefill / size, part);
        return;
      }
      const panelTokens = promptTokens + (groupTokens[group] as number) / panels;
      if (pool === grm) {
        const tokens = drawLengths(size, voteTokens, voteFactor);
        jobTokens[job] = tokens;
        account(grm, tokens, tokens + panelTokens * prefillCost);
        emit(size, (panelTokens * prefillCost) / size, part);
        return;
      }
      const read = panelTokens + size * voteTokens;
      jobTokens[job] = read;
      account(metaRm, read, read * prefillCost);
      part((read * prefillCost) / size, size);
    },
    again: (pool, nowS) => {
      const { responseTokens, voteTokens } = drift(nowS);
      if (pool === policy) return responseTokens * responseFactor.draw(random);
      if (pool === grm) return voteTokens * voteFactor.draw(random);
      return voteTokens * prefillCost;
    },
    jobEnded: (job, pool, nowS) => {
      const dispatch = deps.dispatch();
      const group = dispatch.ownerOf(job);
      const size = dispatch.sizeOf(job);
      if (pool === policy) {
        totals.responses += size;
        totals.responseTokens += groupTokens[group] as number;
        judge(group, nowS);
      } else if (pool === grm) {
        totals.votes += size;
        totals.voteTokens += jobTokens[job] as number;
        if (metaPool) dispatch.submit(metaRm, group, size, nowS);
        else ballotDone(group, nowS);
      } else {
        totals.metaScores += size;
        totals.metaTokens += jobTokens[job] as number;
        ballotDone(group, nowS);
      }
    },
  };
}
