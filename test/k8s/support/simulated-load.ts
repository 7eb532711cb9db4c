/**
 * Load reports of pods in which nothing runs, told by the code that services tell theirs with, on the same NATS.
 *
 * A fluid model of the pipeline: responses come as fast as the slowest pool makes them; a pool that could do more is that
 * much less busy. A replica with its slots taken to the share u makes full · 2u / (1 + u) tokens a second, as batching
 * engines do. Pods count while they are ready.
 */
import type { Bus } from "../../../lib/bus/bus.js";
import type { Clock } from "../../../lib/core/clock.js";
import type { EngineStats } from "../../../lib/engine/engine.js";
import { type LoadReporting, type LoadRole, reportLoad } from "../../../lib/runtime/load-reports.js";
import type { Kube } from "./kube.js";
import { isReady, paths } from "./workloads.js";

/** What one response takes, changed while it runs. */
export interface Pipeline {
  tokensPerResponse: number;
  tokensPerVote: number;
  /** Votes asked for on every response, and responses on a panel: one vote judges so many. */
  votes: number;
  panel: number;
}

export interface SimulatedLoad extends AsyncDisposable {
  readonly pipeline: Pipeline;
  /** Reports stop, as when the network is cut; and go on. */
  silent(silent: boolean): void;
  /** Responses judged so far. */
  responses(): number;
}

const pools = {
  policy: { component: "policy-sampler", role: "policy", tokensPerS: 2000 },
  grm: { component: "grm-worker", role: "grm", tokensPerS: 2000 },
  // Read, not written.
  metaRm: { component: "meta-rm", role: "meta-rm", tokensPerS: 40_000 },
} as const;
type Pool = keyof typeof pools;
const poolNames = Object.keys(pools) as Pool[];

const slots = 64;
const responsesPerStep = 64;
const tickMs = 250;
const reportMs = 500;

interface SimulatedPod {
  pool: Pool;
  ready: boolean;
  stats: EngineStats;
  items: number;
  itemTokens: number;
  reporting: LoadReporting;
}

export async function startSimulatedLoad(
  { kube, bus, clock }: { kube: Kube; bus: Bus; clock: Clock },
  options: { namespace: string; pipeline: Pipeline },
): Promise<SimulatedLoad> {
  const pipeline = { ...options.pipeline };
  const pods = new Map<string, SimulatedPod>();
  const judging = {
    inFlight: 16,
    votesInForce: 0,
    judgments: 0,
    responses: 0,
    votes: 0,
    metaScores: 0,
    askedVotes: 0,
  };
  const learner = { steps: 0, responses: 0, trainingMs: 0, waitingMs: 0 };
  let silent = false;

  // Only publishing goes through here: silence is that nothing is published.
  const quietable: Bus = new Proxy(bus, {
    get: (target, name) => {
      if (name === "status" && silent) return () => "disconnected";
      const value = Reflect.get(target, name) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const report = (role: LoadRole, host: string, source: object): LoadReporting =>
    reportLoad({ bus: quietable, clock }, { role, ...source }, { host, intervalMs: reportMs });

  const appear = (name: string, pool: Pool): SimulatedPod => {
    const pod: SimulatedPod = {
      pool,
      ready: false,
      stats: { running: 0, waiting: 0, slots, generatedTokens: 0, promptTokens: 0, busyMs: 0 },
      items: 0,
      itemTokens: 0,
      reporting: { stop: () => undefined },
    };
    const work = () => ({ items: pod.items, itemTokens: pod.itemTokens });
    pod.reporting = report(pools[pool].role, name, { engine: { stats: () => pod.stats, work } });
    pods.set(name, pod);
    return pod;
  };

  const look = async (): Promise<void> => {
    const list = await kube.list(paths.pods(options.namespace));
    const there = new Set<string>();
    for (const pod of list) {
      const component = pod.metadata.labels?.["app.kubernetes.io/component"];
      const pool = poolNames.find((name) => pools[name].component === component);
      if (pool === undefined || !isReady(pod)) continue;
      there.add(pod.metadata.name);
      (pods.get(pod.metadata.name) ?? appear(pod.metadata.name, pool)).ready = true;
    }
    for (const [name, pod] of pods) {
      if (there.has(name)) continue;
      pod.reporting.stop();
      pods.delete(name);
    }
  };

  const tick = (): void => {
    const requests = pipeline.votes / pipeline.panel;
    const tokens: Record<Pool, number> = {
      policy: pipeline.tokensPerResponse,
      grm: requests * pipeline.tokensPerVote,
      metaRm: requests * pipeline.tokensPerVote,
    };
    const items: Record<Pool, number> = { policy: 1, grm: requests, metaRm: requests };
    const count = (pool: Pool): number => [...pods.values()].filter((pod) => pod.pool === pool).length;
    const perS = Math.min(...poolNames.map((pool) => (count(pool) * pools[pool].tokensPerS) / tokens[pool]));
    const responses = (perS * tickMs) / 1000;
    for (const pod of pods.values()) {
      const { pool, stats } = pod;
      const share = 1 / count(pool);
      const made = responses * tokens[pool] * share;
      const full = (pools[pool].tokensPerS * tickMs) / 1000;
      const speed = Math.min(1, made / full);
      const taken = speed / (2 - speed);
      stats.running = Math.round(taken * slots);
      stats.waiting = speed > 0.99 ? 8 : 0;
      stats.busyMs += tickMs;
      if (pool === "metaRm") stats.promptTokens += made;
      else stats.generatedTokens += made;
      pod.items += responses * items[pool] * share;
      pod.itemTokens += made;
    }
    judging.votesInForce = pipeline.votes;
    judging.responses += responses;
    judging.judgments += responses / pipeline.panel;
    judging.votes += responses * requests;
    judging.metaScores += responses * requests;
    judging.askedVotes += responses * pipeline.votes;
    learner.responses += responses;
    learner.steps += responses / responsesPerStep;
    const trainingMs = Math.min(tickMs, (responses / responsesPerStep) * 500);
    learner.trainingMs += trainingMs;
    learner.waitingMs += tickMs - trainingMs;
  };

  await look();
  const others = [
    report("aggregator", "vote-aggregator", { judging: () => ({ ...judging }) }),
    report("learner", "grpo-learner", { learner: () => ({ ...learner }) }),
  ];
  const ticking = clock.every(tickMs, tick, { background: true });
  // While the API server is away the pods go on as they were.
  const looking = clock.every(500, () => void look().catch(() => undefined), { background: true });
  return {
    pipeline,
    silent: (next) => {
      silent = next;
    },
    responses: () => judging.responses,
    [Symbol.asyncDispose]: async () => {
      ticking.cancel();
      looking.cancel();
      for (const { reporting } of pods.values()) reporting.stop();
      for (const { stop } of others) stop();
    },
  };
}
