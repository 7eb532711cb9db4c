/**
 * The batches of all replicas: which requests run where, and when the next ones end.
 *
 * All requests of a batch advance at the same pace, so a replica keeps one clock of tokens (`virtual`): a request that
 * joins at v with n tokens ends when the clock shows v + n, whatever joins and leaves in between. That makes processor
 * sharing exact at one heap operation per end. The pace depends on how many run.
 *
 * Requests of one job come in parts: a part is `count` requests that leave the batch together. The job's last request is
 * always a part of its own, so a job ends exactly when its slowest request does.
 */
import { createTournament } from "./timeline.js";

export interface Part {
  /** Tokens to go. */
  left: number;
  job: number;
  count: number;
}

export interface Batches {
  /** Requests in the batch. */
  running(replica: number): number;
  /** Sets pace and clears the batch of a replica that begins. */
  begin(replica: number, pool: number, nowS: number): void;
  add(replica: number, left: number, job: number, count: number, nowS: number): void;
  /** After additions: when the replica's next part ends. */
  reschedule(replica: number): void;
  /** Takes out all parts, e.g. when the replica is gone. */
  clear(replica: number, nowS: number): Part[];
  /** How much slower than modelled a pool's engines are from now on. */
  setSlowness(pool: number, slowness: number, nowS: number): void;
  nextS(): number;
  /** Ends the next part; `ended` is told job and count. Returns the replica. */
  endNext(nowS: number, ended: (job: number, count: number) => void): number;
  /** Brings a pool's counters up to `nowS`. */
  settle(nowS: number): void;
  /** Tokens served and request-seconds spent per pool since the start, as of the last `settle`. */
  readonly served: Float64Array;
  readonly requestSeconds: Float64Array;
}

export interface Pace {
  t0S: number;
  t1S: number;
}

export function createBatches(replicas: number, room: number, paces: readonly Pace[]): Batches {
  const none = Number.POSITIVE_INFINITY;
  const ends = createTournament(replicas);
  const keys = new Float64Array(replicas * room);
  const jobs = new Int32Array(replicas * room);
  const counts = new Int32Array(replicas * room);
  const size = new Int32Array(replicas);
  const virtual = new Float64Array(replicas);
  const last = new Float64Array(replicas);
  const running = new Int32Array(replicas);
  const pool = new Int32Array(replicas);
  const slow = new Float64Array(paces.length).fill(1);
  const t0 = Float64Array.from(paces, ({ t0S }) => t0S);
  const t1 = Float64Array.from(paces, ({ t1S }) => t1S);
  const served = new Float64Array(paces.length);
  const requestSeconds = new Float64Array(paces.length);

  /** Seconds per token of every request. */
  function stepS(r: number): number {
    const p = pool[r] as number;
    return (slow[p] as number) * ((t0[p] as number) + (t1[p] as number) * (running[r] as number));
  }

  function advance(r: number, nowS: number): void {
    const passed = nowS - (last[r] as number);
    last[r] = nowS;
    const requests = running[r] as number;
    if (requests === 0 || passed <= 0) return;
    const tokens = passed / stepS(r);
    virtual[r] = (virtual[r] as number) + tokens;
    const p = pool[r] as number;
    served[p] = (served[p] as number) + requests * tokens;
    requestSeconds[p] = (requestSeconds[p] as number) + requests * passed;
  }

  function reschedule(r: number): void {
    if (size[r] === 0) ends.set(r, none);
    else
      ends.set(
        r,
        (last[r] as number) + Math.max(0, (keys[r * room] as number) - (virtual[r] as number)) * stepS(r),
      );
  }

  function push(r: number, key: number, job: number, count: number): void {
    const base = r * room;
    let i = size[r] as number;
    if (i >= room) throw new RangeError("a batch has more parts than room");
    size[r] = i + 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if ((keys[base + parent] as number) <= key) break;
      move(base + parent, base + i);
      i = parent;
    }
    write(base + i, key, job, count);
  }

  function pop(r: number): void {
    const base = r * room;
    const n = (size[r] as number) - 1;
    size[r] = n;
    const key = keys[base + n] as number;
    const job = jobs[base + n] as number;
    const count = counts[base + n] as number;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= n) break;
      if (child + 1 < n && (keys[base + child + 1] as number) < (keys[base + child] as number)) child++;
      if ((keys[base + child] as number) >= key) break;
      move(base + child, base + i);
      i = child;
    }
    write(base + i, key, job, count);
  }

  function move(from: number, to: number): void {
    keys[to] = keys[from] as number;
    jobs[to] = jobs[from] as number;
    counts[to] = counts[from] as number;
  }

  function write(at: number, key: number, job: number, count: number): void {
    keys[at] = key;
    jobs[at] = job;
    counts[at] = count;
  }

  return {
    running: (r) => running[r] as number,
    begin: (r, p, nowS) => {
      pool[r] = p;
      size[r] = 0;
      running[r] = 0;
      virtual[r] = 0;
      last[r] = nowS;
      ends.set(r, none);
    },
    add: (r, left, job, count, nowS) => {
      advance(r, nowS);
      push(r, (virtual[r] as number) + left, job, count);
      running[r] = (running[r] as number) + count;
    },
    reschedule,
    clear: (r, nowS) => {
      advance(r, nowS);
      const parts: Part[] = [];
      for (let i = r * room; i < r * room + (size[r] as number); i++) {
        const left = Math.max(0, (keys[i] as number) - (virtual[r] as number));
        parts.push({ left, job: jobs[i] as number, count: counts[i] as number });
      }
      size[r] = 0;
      running[r] = 0;
      ends.set(r, none);
      return parts;
    },
    setSlowness: (p, slowness, nowS) => {
      for (let r = 0; r < replicas; r++) if (pool[r] === p) advance(r, nowS);
      slow[p] = slowness;
      for (let r = 0; r < replicas; r++) if (pool[r] === p) reschedule(r);
    },
    nextS: () => ends.time(ends.first()),
    endNext: (nowS, ended) => {
      const r = ends.first();
      advance(r, nowS);
      const count = counts[r * room] as number;
      const job = jobs[r * room] as number;
      pop(r);
      running[r] = (running[r] as number) - count;
      reschedule(r);
      ended(job, count);
      return r;
    },
    settle: (nowS) => {
      for (let r = 0; r < replicas; r++) advance(r, nowS);
    },
    served,
    requestSeconds,
  };
}
