/**
 * Who runs what: one queue per pool, jobs to replicas that have room for all of a job's requests, as workers pull when
 * they have room. With room at several, the emptier of two drawn ones: nearly as even as the emptiest of all.
 */
import type { Random } from "../../core/random.js";
import { type PoolName, poolNames } from "../observation.js";
import type { Batches, Part } from "./batches.js";
import { createNumberQueue } from "./queue.js";

export interface DispatchHooks {
  /** Draws the lengths of a job that starts: `part` for each part of it. */
  begin(job: number, pool: number, nowS: number, part: (left: number, count: number) => void): void;
  /** Draws the length of a request that has to start again. */
  again(pool: number, nowS: number): number;
  jobEnded(job: number, pool: number, nowS: number): void;
  /** A replica that drains has nothing left. */
  emptied(replica: number, nowS: number): void;
}

export interface Dispatch {
  /** A job of `size` requests, known to its maker as `owner`. */
  submit(pool: number, owner: number, size: number, nowS: number): void;
  ownerOf(job: number): number;
  sizeOf(job: number): number;
  /** A replica takes work from now on. */
  open(replica: number, pool: PoolName, nowS: number): void;
  /** It takes none any more; true when it has none. */
  close(replica: number): boolean;
  /** Its requests go elsewhere. */
  evict(replica: number, nowS: number, keepProgress: boolean): void;
  nextS(): number;
  endNext(nowS: number): void;
  /** Requests that wait, and jobs that wait and run. */
  waiting(pool: number): number;
  waitingJobs(pool: number): number;
  openJobs(pool: number): number;
}

export function createDispatch(
  batches: Batches,
  shape: { replicas: number; slots: readonly number[]; jobSize: readonly number[] },
  random: Random,
  hooks: DispatchHooks,
): Dispatch {
  const queues = poolNames.map(() => createNumberQueue());
  // Requests that were under way on a replica that is gone; they go first.
  const displaced: Part[][] = poolNames.map(() => []);
  const waitingRequests = poolNames.map(() => 0);
  const openCount = poolNames.map(() => 0);
  // Replicas with room, per pool, and where each stands in that list.
  const roomy: number[][] = poolNames.map(() => []);
  const place = new Int32Array(shape.replicas).fill(-1);
  const poolOf = new Int32Array(shape.replicas);
  const isOpen = new Uint8Array(shape.replicas);

  const owners: number[] = [];
  const sizes: number[] = [];
  const left: number[] = [];
  const freeJobs: number[] = [];

  const freeSlots = (r: number): number => (shape.slots[poolOf[r] as number] as number) - batches.running(r);

  function setRoom(r: number, hasRoom: boolean): void {
    const list = roomy[poolOf[r] as number] as number[];
    const at = place[r] as number;
    if (hasRoom && at < 0) place[r] = list.push(r) - 1;
    else if (!hasRoom && at >= 0) {
      const last = list.pop() as number;
      if (last !== r) {
        list[at] = last;
        place[last] = at;
      }
      place[r] = -1;
    }
  }

  function startJob(job: number, r: number, nowS: number): void {
    hooks.begin(job, poolOf[r] as number, nowS, (tokens, count) => batches.add(r, tokens, job, count, nowS));
  }

  /** Gives the replica what waits until it has no room for more. */
  function fill(r: number, nowS: number): void {
    const p = poolOf[r] as number;
    const moved = displaced[p] as Part[];
    const queue = queues[p]!;
    const size = shape.jobSize[p] as number;
    let changed = false;
    while (moved.length > 0 && freeSlots(r) >= (moved.at(-1) as Part).count) {
      const part = moved.pop() as Part;
      waitingRequests[p] = (waitingRequests[p] as number) - part.count;
      batches.add(r, part.left, part.job, part.count, nowS);
      changed = true;
    }
    while (queue.length > 0 && freeSlots(r) >= size) {
      const job = queue.shift();
      waitingRequests[p] = (waitingRequests[p] as number) - (sizes[job] as number);
      startJob(job, r, nowS);
      changed = true;
    }
    if (changed) batches.reschedule(r);
    setRoom(r, freeSlots(r) >= size);
  }

  return {
    submit: (pool, owner, size, nowS) => {
      const job = freeJobs.pop() ?? owners.length;
      owners[job] = owner;
      sizes[job] = size;
      left[job] = size;
      openCount[pool] = (openCount[pool] as number) + 1;
      const list = roomy[pool] as number[];
      if (list.length === 0) {
        queues[pool]!.push(job);
        waitingRequests[pool] = (waitingRequests[pool] as number) + size;
        return;
      }
      const one = list[random.below(list.length)] as number;
      const other = list[random.below(list.length)] as number;
      const r = batches.running(one) <= batches.running(other) ? one : other;
      startJob(job, r, nowS);
      batches.reschedule(r);
      setRoom(r, freeSlots(r) >= (shape.jobSize[pool] as number));
    },
    ownerOf: (job) => owners[job] as number,
    sizeOf: (job) => sizes[job] as number,
    open: (r, pool, nowS) => {
      const p = poolNames.indexOf(pool);
      poolOf[r] = p;
      isOpen[r] = 1;
      place[r] = -1;
      batches.begin(r, p, nowS);
      fill(r, nowS);
    },
    close: (r) => {
      isOpen[r] = 0;
      setRoom(r, false);
      return batches.running(r) === 0;
    },
    evict: (r, nowS, keepProgress) => {
      isOpen[r] = 0;
      setRoom(r, false);
      const p = poolOf[r] as number;
      for (const part of batches.clear(r, nowS)) {
        const tokens = keepProgress ? part.left : hooks.again(p, nowS);
        (displaced[p] as Part[]).push({ ...part, left: tokens });
        waitingRequests[p] = (waitingRequests[p] as number) + part.count;
      }
      // Those with room take it at once.
      for (const other of [...(roomy[p] as number[])]) fill(other, nowS);
    },
    nextS: batches.nextS,
    endNext: (nowS) => {
      let ended = -1;
      const r = batches.endNext(nowS, (job, count) => {
        const remaining = (left[job] as number) - count;
        left[job] = remaining;
        if (remaining === 0) ended = job;
      });
      const pool = poolOf[r] as number;
      if (ended >= 0) {
        openCount[pool] = (openCount[pool] as number) - 1;
        hooks.jobEnded(ended, pool, nowS);
        freeJobs.push(ended);
      }
      if (isOpen[r] === 1) fill(r, nowS);
      else if (batches.running(r) === 0) hooks.emptied(r, nowS);
    },
    waiting: (pool) => waitingRequests[pool] as number,
    waitingJobs: (pool) => queues[pool]!.length,
    openJobs: (pool) => openCount[pool] as number,
  };
}
