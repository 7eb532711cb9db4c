/**
 * Runs the pipeline under a controller, event by event. Deterministic: the same model, controller and seed give the
 * same run, and how it runs depends on nothing outside.
 *
 * What is random about the work (lengths, crashes, starts) is drawn from streams of their own, so that two controllers
 * meet the same losses of nodes and work of the same distribution.
 */
import { createRandom, seedFrom } from "../../core/random.js";
import { type Observation, type PerPool, perPool, poolNames } from "../observation.js";
import { createBatches } from "./batches.js";
import { createDispatch, type Dispatch } from "./dispatch.js";
import { createFleet, type Fleet, type PoolCounts } from "./fleet.js";
import { createFlow, type FlowTotals } from "./flow.js";
import { logNormal } from "./lengths.js";
import { createMeter } from "./meter.js";
import type { Drift, PipelineModel } from "./model.js";
import { createTimeline } from "./timeline.js";

export interface View {
  nowS: number;
  model: PipelineModel;
  /** GPUs of the nodes that are up. */
  gpus: number;
  votes: number;
  counts(pool: keyof PerPool<unknown>): PoolCounts;
  /** Work items that wait (`pending`) and that workers hold (`ackPending`), as a queue's consumer reports them. */
  queue(pool: keyof PerPool<unknown>): { pending: number; ackPending: number };
  /** Measured since this was last asked for. */
  observe(): Observation;
  /** What nobody can know: the true lengths and speeds of this moment. */
  truth(): Drift;
}

export interface Controller {
  everyS: number;
  /** Replicas change their pool at once and for nothing. Only for comparison. */
  freeSwitching?: boolean;
  tick(view: View): { targets?: PerPool<number>; k?: number } | null;
}

export interface SimulationOptions {
  model: PipelineModel;
  controller: Controller;
  start: PerPool<number>;
  seed: number;
  /** Ends when the learner has taken this many steps … */
  steps: number;
  /** … or at this time. */
  untilS: number;
  /** Points of the series that is returned, one every so many seconds. */
  sampleEveryS?: number;
}

export interface Sample {
  atS: number;
  step: number;
  replicas: PerPool<number>;
  ready: PerPool<number>;
  votes: number;
  /** Since the sample before. */
  stepsPerHour: number;
  utilisation: PerPool<number>;
}

export interface SimulationResult {
  seconds: number;
  steps: number;
  stepsPerHour: number;
  /** Moments and sizes of the changes that the controller made. */
  changes: { atS: number; replicas: number }[];
  totals: FlowTotals;
  /** Groups that were under way at the end. */
  open: number;
  events: number;
  samples: Sample[];
}

export function simulate(options: SimulationOptions): SimulationResult {
  const { model, controller, seed, untilS } = options;
  const timeline = createTimeline();
  const stream = (name: string) => createRandom(seedFrom(seed, name));
  const engines = poolNames.map((pool) => model.engines[pool]);
  const jobSize = [model.groupSize, model.ballotVotes, model.ballotVotes];
  const largestBatch = Math.max(...engines.map(({ slots }) => slots)) + Math.max(...jobSize);
  const batches = createBatches(model.gpus, largestBatch, engines);
  let nowS = 0;

  const work: { dispatch?: Dispatch; fleet?: Fleet } = {};
  const dispatchOf = (): Dispatch => work.dispatch as Dispatch;
  const flow = createFlow(model, { dispatch: dispatchOf, timeline, random: stream("lengths") });
  const slots = engines.map((engine, p) => Math.max(engine.slots, jobSize[p] as number));
  const dispatch = createDispatch(batches, { replicas: model.gpus, slots, jobSize }, stream("routing"), {
    begin: flow.lengths,
    again: flow.again,
    jobEnded: flow.jobEnded,
    emptied: (replica, atS) => work.fleet?.drained(replica, atS),
  });
  work.dispatch = dispatch;
  const fleet = createFleet(model, {
    timeline,
    random: stream("starts"),
    startTime: logNormal(model.start.sigma),
    instant: controller.freeSwitching === true,
    hooks: {
      busy: batches.running,
      ready: (replica, pool, atS) => dispatch.open(replica, pool, atS),
      drain: (replica) => dispatch.close(replica),
      gone: (replica, _pool, atS, moved) => dispatch.evict(replica, atS, moved),
    },
  });
  work.fleet = fleet;

  fleet.scale(options.start, 0);
  const meter = createMeter(model, { batches, dispatch, fleet, flow });
  const changes: SimulationResult["changes"] = [];
  const samples: Sample[] = [];
  let events = 0;

  const slowness = perPool(() => 1);
  function followDrift(): void {
    const wanted = model.drift({ atS: nowS, step: flow.totals.steps }).slowness;
    for (const [p, pool] of poolNames.entries()) {
      if (wanted[pool] === slowness[pool]) continue;
      slowness[pool] = wanted[pool];
      batches.setSlowness(p, wanted[pool], nowS);
    }
  }

  const view = (): View => ({
    nowS,
    model,
    gpus: fleet.gpus(),
    votes: flow.votes(),
    counts: fleet.counts,
    queue: (pool) => {
      const p = poolNames.indexOf(pool);
      const pending = dispatch.waitingJobs(p);
      return { pending, ackPending: dispatch.openJobs(p) - pending };
    },
    observe: () => meter.read(nowS),
    truth: () => model.drift({ atS: nowS, step: flow.totals.steps }),
  });

  function tick(): void {
    followDrift();
    const answer = controller.tick(view());
    if (answer?.k !== undefined) flow.setVotes(answer.k);
    if (answer?.targets !== undefined) {
      const replicas = fleet.scale(answer.targets, nowS);
      if (replicas > 0) changes.push({ atS: nowS, replicas });
    }
    timeline.at(nowS + controller.everyS, tick);
  }
  timeline.at(controller.everyS, tick);

  for (const { atS, untilS: backS, nodes } of model.losses) {
    for (const node of nodes) {
      timeline.at(atS, () => fleet.loseNode(node, nowS));
      timeline.at(backS, () => fleet.regainNode(node, nowS));
    }
  }
  const crashes = stream("crashes");
  /** Poisson over the whole fleet at its largest; thinned to the replicas that are up. */
  function nextCrash(): void {
    const perS = (model.crashesPerHour * model.gpus) / 3600;
    if (perS <= 0) return;
    timeline.at(nowS - Math.log(1 - crashes.next()) / perS, () => {
      const up = fleet.readyReplicas();
      const hit = crashes.below(model.gpus);
      if (hit < up.length) fleet.crash(up[hit] as number, nowS);
      nextCrash();
    });
  }
  nextCrash();

  if (options.sampleEveryS !== undefined) {
    const everyS = options.sampleEveryS;
    let before = { steps: 0, requestS: perPool(() => 0), readyS: perPool(() => 0) };
    const sample = (): void => {
      batches.settle(nowS);
      const readyS = perPool((pool) => fleet.readySeconds(pool, nowS));
      const requestS = perPool((pool) => batches.requestSeconds[poolNames.indexOf(pool)] as number);
      const counts = perPool(fleet.counts);
      samples.push({
        atS: nowS,
        step: flow.totals.steps,
        replicas: perPool((pool) => counts[pool].replicas),
        ready: perPool((pool) => counts[pool].ready),
        votes: flow.votes(),
        stepsPerHour: ((flow.totals.steps - before.steps) * 3600) / everyS,
        utilisation: perPool((pool) => {
          const seconds = (readyS[pool] - before.readyS[pool]) * model.engines[pool].slots;
          return seconds > 0 ? (requestS[pool] - before.requestS[pool]) / seconds : 0;
        }),
      });
      before = { steps: flow.totals.steps, requestS, readyS };
      timeline.at(nowS + everyS, sample);
    };
    timeline.at(everyS, sample);
  }

  followDrift();
  flow.begin(0);
  while (flow.totals.steps < options.steps) {
    const engineS = dispatch.nextS();
    const otherS = timeline.nextS();
    const nextS = Math.min(engineS, otherS);
    if (nextS > untilS) {
      nowS = untilS;
      break;
    }
    nowS = nextS;
    events++;
    if (engineS <= otherS) dispatch.endNext(nowS);
    else timeline.runNext();
  }
  const seconds = Math.max(nowS, 1e-9);
  return {
    seconds,
    steps: flow.totals.steps,
    stepsPerHour: (flow.totals.steps * 3600) / seconds,
    changes,
    totals: flow.totals,
    open: flow.open(),
    events,
    samples,
  };
}
