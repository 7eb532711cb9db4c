/**
 * Pods and the GPUs they stand on, as Kubernetes does it: a wanted replica is pending until a node has room for all its
 * GPUs, then it starts, then it is ready; a replica too many goes in the order pending, starting, least busy, and drains
 * first. GPUs are free again only when the pod is gone.
 *
 * With `instant` there are no starts and no drains: what a clairvoyant with free switching would have.
 */
import type { Random } from "../../core/random.js";
import { type PerPool, type PoolName, perPool, poolNames } from "../observation.js";
import type { LogNormal } from "./lengths.js";
import type { PipelineModel } from "./model.js";
import type { Timeline } from "./timeline.js";

export interface FleetHooks {
  /** Requests in the replica's batch: who is least busy goes first. */
  busy(replica: number): number;
  ready(replica: number, pool: PoolName, nowS: number): void;
  /** Takes nothing new from now on. Returns true when it is empty already. */
  drain(replica: number, pool: PoolName, nowS: number): boolean;
  /** Gone: what runs on it runs again elsewhere, from where it was (`moved`) or from its beginning. */
  gone(replica: number, pool: PoolName, nowS: number, moved: boolean): void;
}

export interface PoolCounts {
  /** Pending, starting and ready. */
  replicas: number;
  ready: number;
  draining: number;
}

export interface Fleet {
  /** Wants `targets`; returns how many replicas were added or removed. */
  scale(targets: PerPool<number>, nowS: number): number;
  counts(pool: PoolName): PoolCounts;
  /** GPUs of nodes that are up. */
  gpus(): number;
  /** A replica that drained to its end. */
  drained(replica: number, nowS: number): void;
  crash(replica: number, nowS: number): void;
  loseNode(node: number, nowS: number): void;
  regainNode(node: number, nowS: number): void;
  /** Ready replicas of all pools, in order. */
  readyReplicas(): number[];
  /** Time from wanted to ready of those that became ready since the last call, in seconds. */
  takeStarts(pool: PoolName): number[];
  /** Ready replica-seconds per pool up to `nowS`. */
  readySeconds(pool: PoolName, nowS: number): number;
}

type PodState = "free" | "starting" | "ready" | "draining";

export function createFleet(
  model: PipelineModel,
  deps: { timeline: Timeline; random: Random; startTime: LogNormal; hooks: FleetHooks; instant: boolean },
): Fleet {
  const { timeline, random, startTime, hooks, instant } = deps;
  const nodes = Math.ceil(model.gpus / model.gpusPerNode);
  const freeGpus = Array.from({ length: nodes }, (_, node) =>
    Math.min(model.gpusPerNode, model.gpus - node * model.gpusPerNode),
  );
  const nodeGpus = [...freeGpus];
  const up = freeGpus.map(() => true);
  const state: PodState[] = Array.from({ length: model.gpus }, () => "free");
  const poolOf: PoolName[] = Array.from({ length: model.gpus }, () => "policy");
  const nodeOf = new Int32Array(model.gpus);
  const wantedAt = new Float64Array(model.gpus);
  // Tells a start or a drain that was under way from a later life of the same place.
  const life = new Int32Array(model.gpus);
  let pending: { pool: PoolName; sinceS: number }[] = [];
  const starts = perPool<number[]>(() => []);
  const readyCount = perPool(() => 0);
  const readyTotal = perPool(() => ({ seconds: 0, sinceS: 0 }));

  const gpusOf = (pool: PoolName): number => model.engines[pool].gpusPerReplica;
  const places = (pool: PoolName, wanted: PodState): number[] =>
    state.flatMap((each, r) => (each === wanted && poolOf[r] === pool ? [r] : []));

  function addReady(pool: PoolName, change: number, nowS: number): void {
    const total = readyTotal[pool];
    total.seconds += readyCount[pool] * (nowS - total.sinceS);
    total.sinceS = nowS;
    readyCount[pool] += change;
  }

  /** Puts pending pods on nodes, oldest first; the fullest node that has room, so that whole nodes stay free. */
  function schedule(nowS: number): void {
    if (pending.length === 0) return;
    const waiting: typeof pending = [];
    for (const pod of pending) {
      const need = gpusOf(pod.pool);
      let node = -1;
      for (let n = 0; n < nodes; n++) {
        const free = freeGpus[n] as number;
        if (up[n] && free >= need && (node < 0 || free < (freeGpus[node] as number))) node = n;
      }
      if (node < 0) waiting.push(pod);
      else place(pod.pool, node, pod.sinceS, nowS);
    }
    pending = waiting;
  }

  function place(pool: PoolName, node: number, sinceS: number, nowS: number): void {
    const replica = state.indexOf("free");
    freeGpus[node] = (freeGpus[node] as number) - gpusOf(pool);
    nodeOf[replica] = node;
    poolOf[replica] = pool;
    wantedAt[replica] = sinceS;
    start(replica, nowS);
  }

  function start(replica: number, nowS: number): void {
    state[replica] = "starting";
    const mine = ++life[replica]!;
    const becomeReady = (atS: number): void => {
      if (life[replica] !== mine) return;
      const pool = poolOf[replica] as PoolName;
      state[replica] = "ready";
      addReady(pool, 1, atS);
      starts[pool].push(atS - (wantedAt[replica] as number));
      hooks.ready(replica, pool, atS);
    };
    if (instant || nowS === 0) {
      becomeReady(nowS);
      starts[poolOf[replica] as PoolName].length = 0;
      return;
    }
    const readyAtS = nowS + model.start.meanS * startTime.draw(random);
    timeline.at(readyAtS, () => becomeReady(readyAtS));
  }

  function release(replica: number): void {
    life[replica]!++;
    state[replica] = "free";
    const node = nodeOf[replica] as number;
    freeGpus[node] = (freeGpus[node] as number) + gpusOf(poolOf[replica] as PoolName);
  }

  function remove(pool: PoolName, nowS: number): void {
    const waiting = pending.findLastIndex((pod) => pod.pool === pool);
    if (waiting >= 0) {
      pending.splice(waiting, 1);
      return;
    }
    const starting = places(pool, "starting").at(-1);
    if (starting !== undefined) {
      release(starting);
      return;
    }
    const ready = places(pool, "ready");
    const least = ready.reduce(
      (best, r) => (hooks.busy(r) < hooks.busy(best) ? r : best),
      ready[0] as number,
    );
    addReady(pool, -1, nowS);
    state[least] = "draining";
    const empty = hooks.drain(least, pool, nowS);
    if (instant || empty) end(least, nowS, true);
    else {
      const mine = ++life[least]!;
      timeline.at(nowS + model.drainS, () => {
        if (life[least] === mine && state[least] === "draining") end(least, nowS + model.drainS, false);
      });
    }
  }

  function end(replica: number, nowS: number, moved: boolean): void {
    hooks.gone(replica, poolOf[replica] as PoolName, nowS, moved);
    release(replica);
    schedule(nowS);
  }

  const wanted = (pool: PoolName): number =>
    pending.filter((pod) => pod.pool === pool).length + places(pool, "starting").length + readyCount[pool];

  return {
    scale: (targets, nowS) => {
      let changes = 0;
      for (const pool of poolNames) {
        for (let n = wanted(pool); n > targets[pool]; n--, changes++) remove(pool, nowS);
      }
      for (const pool of poolNames) {
        for (let n = wanted(pool); n < targets[pool]; n++, changes++) pending.push({ pool, sinceS: nowS });
      }
      schedule(nowS);
      return changes;
    },
    counts: (pool) => ({
      replicas: wanted(pool),
      ready: readyCount[pool],
      draining: places(pool, "draining").length,
    }),
    gpus: () => nodeGpus.reduce((sum, gpus, node) => sum + (up[node] ? gpus : 0), 0),
    drained: (replica, nowS) => {
      if (state[replica] === "draining") end(replica, nowS, true);
    },
    crash: (replica, nowS) => {
      if (state[replica] !== "ready") return;
      const pool = poolOf[replica] as PoolName;
      addReady(pool, -1, nowS);
      hooks.gone(replica, pool, nowS, false);
      wantedAt[replica] = nowS;
      start(replica, nowS);
    },
    loseNode: (node, nowS) => {
      up[node] = false;
      for (let r = 0; r < state.length; r++) {
        if (state[r] === "free" || nodeOf[r] !== node) continue;
        const pool = poolOf[r] as PoolName;
        if (state[r] === "ready") addReady(pool, -1, nowS);
        if (state[r] !== "starting") hooks.gone(r, pool, nowS, false);
        // Its controller wants another in its place; a pod that was to go anyway is not missed.
        if (state[r] !== "draining") pending.push({ pool, sinceS: nowS });
        release(r);
      }
      schedule(nowS);
    },
    regainNode: (node, nowS) => {
      up[node] = true;
      schedule(nowS);
    },
    readyReplicas: () => state.flatMap((each, r) => (each === "ready" ? [r] : [])),
    takeStarts: (pool) => starts[pool].splice(0),
    readySeconds: (pool, nowS) => {
      addReady(pool, 0, nowS);
      return readyTotal[pool].seconds;
    },
  };
}
