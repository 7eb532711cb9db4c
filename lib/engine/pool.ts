/**
 * A pool of endpoints that serve the same weights: which one gets a request, and what becomes of it when that fails.
 *
 * - A request goes to the healthy endpoint with the fewest outstanding; what finds none with room waits, in order, in a
 *   bounded line.
 * - What fails through its endpoint's fault is tried at ANOTHER one, within a budget. When an endpoint goes out, what it
 *   had in flight moves on at once. With nobody left to ask, requests fail as `unavailable` instead of waiting.
 * - A straggler is asked for at a second endpoint as well, within a budget of its own. Requests carry their seed, so
 *   both give the same kind of answer; the first one counts, once, and the other is cancelled.
 * - Every request settles exactly once, whatever its attempts do. Aborting its signal ends them all.
 */
import type { Clock, Timer } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { Logger } from "../core/logger.js";
import type { Random } from "../core/random.js";
import { createBudget } from "./pool-budget.js";
import type { Health } from "./pool-health.js";
import { createLatencies } from "./pool-latency.js";
import { createSeat, type PoolMember, type Seat } from "./pool-seat.js";

/** Asks one endpoint. `tokens`: of the answer, to compare times by; null: it has none. */
export type PoolCall<M, T> = (member: M, signal: AbortSignal) => Promise<{ value: T; tokens: number | null }>;

export interface Pool<M extends PoolMember> {
  run<T>(call: PoolCall<M, T>, options: { signal?: AbortSignal | undefined }): Promise<T>;
  /** Requests that it takes side by side now; at least 1, so that somebody asks again. */
  slots(): number;
  stats(): { running: number; waiting: number };
  endpoints(): { name: string; state: Health["t"]; inFlight: number; limit: number }[];
  close(): void;
}

/** Told about what cannot be seen in `endpoints()`. */
export interface PoolMeter {
  /** How an attempt at an endpoint ended. */
  attempt(endpoint: string, outcome: "answered" | "refused" | "failed" | "overloaded" | "cancelled"): void;
  retried(): void;
  hedged(): void;
}

export interface PoolOptions<M extends PoolMember> {
  members: readonly { member: M; initial: Health }[];
  /** Most requests side by side at one endpoint. */
  concurrency: number;
  retryShare: number;
  hedgeShare: number;
  clock: Clock;
  random: Random;
  log: Logger;
  meter: PoolMeter;
}

interface Attempt<M extends PoolMember> {
  seat: Seat<M>;
  controller: AbortController;
  startedMs: number;
  /** No longer counted: the endpoint went out under it. */
  left: boolean;
}

interface Job<M extends PoolMember> {
  start(attempt: Attempt<M>): Promise<{ settle: () => void; tokens: number | null }>;
  fail(error: CovoteError): void;
  attempts: Set<Attempt<M>>;
  /** Endpoints that failed it. */
  tried: Set<Seat<M>>;
  refusals: number;
  done: boolean;
  hedge: Timer | undefined;
}

const tickMs = 200;
const sampleEveryTicks = 5;
/** Requests in line for each that may be in flight. */
const linePerSlot = 4;
/** How long an endpoint that is full and does not say for how long is left alone. */
const fullPauseMs = 500;
/** "I am full" often enough to one request is an answer. */
const mostRefusals = 8;
/** Only what is slower than all but this share: fewer than the budget earns, so that it is full when it is needed. */
const hedgeQuantile = (share: number): number => Math.max(0.9, 1 - share / 2);
const hedgeLeastMs = 20;

export function openPool<M extends PoolMember>(options: PoolOptions<M>): Pool<M> {
  const { members, concurrency, retryShare, hedgeShare, clock, random, log, meter } = options;
  const most = members.length * concurrency;
  const latencies = createLatencies();
  // A whole endpoint's requests may have to move at once.
  const retries = createBudget({ share: retryShare, size: most });
  const hedges = createBudget({ share: hedgeShare, size: Math.max(4, Math.ceil(most / 4)) });
  const line: Job<M>[] = [];
  let closed = false;

  const seats = members.map(({ member, initial }): Seat<M> => {
    const seat: Seat<M> = createSeat({
      ...{ member, initial, concurrency, latencies, clock, random },
      moved: (from, to) => moved(seat, from, to),
    });
    return seat;
  });

  const moved = (seat: Seat<M>, from: Health, to: Health): void => {
    const about = { endpoint: seat.member.name, from: from.t, to: to.t, ...("why" in to && { why: to.why }) };
    if (to.t === "out" && from.t !== "probing") {
      log.warn(about, `endpoint ${seat.member.name} is out: ${to.why}`);
      moveAway(seat, to.why);
    } else if (to.t === "healthy" && from.t === "probing") {
      log.info(about, `endpoint ${seat.member.name} serves`);
    } else log.debug(about, "endpoint");
    if (to.t === "suspect") {
      for (const key of [...seat.inFlight.keys()]) hedge((key as [Job<M>, Attempt<M>])[0]);
    }
    drain();
  };

  /** What is in flight at an endpoint that went out goes on elsewhere. */
  const moveAway = (seat: Seat<M>, why: string): void => {
    for (const key of [...seat.inFlight.keys()]) {
      const [job, attempt] = key as [Job<M>, Attempt<M>];
      attempt.left = true;
      seat.inFlight.delete(key);
      job.attempts.delete(attempt);
      attempt.controller.abort();
      meter.attempt(seat.member.name, "failed");
      job.tried.add(seat);
      retry(job, new CovoteError("unavailable", `endpoint ${seat.member.name} is out: ${why}`));
    }
  };

  const freeSeat = (job: Job<M>, except?: Seat<M>): Seat<M> | null => {
    const nowMs = clock.monotonic();
    let best: Seat<M> | null = null;
    let ties = 0;
    for (const seat of seats) {
      if (seat === except || job.tried.has(seat) || !seat.free(nowMs)) continue;
      const fewer = best === null || seat.inFlight.size < best.inFlight.size;
      ties = fewer ? 1 : seat.inFlight.size === best?.inFlight.size ? ties + 1 : ties;
      // Equals are drawn from evenly, or the first would always be the busiest.
      if (fewer || (seat.inFlight.size === best?.inFlight.size && random.below(ties) === 0)) best = seat;
    }
    return best;
  };
  const hopeful = (job: Job<M>): boolean =>
    seats.some(
      (seat) => !job.tried.has(seat) && (seat.health.t === "healthy" || seat.health.t === "suspect"),
    );

  const drain = (): void => {
    for (let i = 0; i < line.length; ) {
      const job = line[i] as Job<M>;
      const seat = freeSeat(job);
      if (seat !== null) {
        line.splice(i, 1);
        begin(job, seat);
      } else if (!hopeful(job)) {
        line.splice(i, 1);
        end(job, () => job.fail(nobodyLeft()));
      } else if (job.tried.size === 0) return;
      else i++;
    }
  };
  const nobodyLeft = (): CovoteError => {
    const [first] = seats;
    const { health } = first as Seat<M>;
    const why = "why" in health ? `: ${health.why}` : "";
    const text =
      seats.length === 1 ? `the endpoint is out${why}` : `all ${seats.length} endpoints are out${why}`;
    return new CovoteError("unavailable", text, { retryAfterMs: 1000 });
  };

  const begin = (job: Job<M>, seat: Seat<M>): void => {
    const startedMs = clock.monotonic();
    const attempt: Attempt<M> = { seat, controller: new AbortController(), startedMs, left: false };
    const key: [Job<M>, Attempt<M>] = [job, attempt];
    seat.inFlight.set(key, startedMs);
    job.attempts.add(attempt);
    if (job.attempts.size === 1) armHedge(job);
    const leave = (): boolean => {
      if (attempt.left) return false;
      seat.inFlight.delete(key);
      job.attempts.delete(attempt);
      return true;
    };
    job.start(attempt).then(
      ({ settle, tokens }) => {
        if (!leave()) return;
        const nowMs = clock.monotonic();
        latencies.record(nowMs - startedMs);
        const perToken = tokens === null || tokens === 0 ? null : (nowMs - startedMs) / tokens;
        seat.admission.answered(seat.inFlight.size + 1, perToken, nowMs);
        meter.attempt(seat.member.name, job.done ? "cancelled" : "answered");
        seat.happened({ t: "answered" });
        if (!job.done) for (const other of job.attempts) other.seat.overtaken(nowMs - other.startedMs);
        end(job, settle);
        drain();
      },
      (thrown) => {
        if (!leave()) return;
        lost(job, attempt, CovoteError.from(thrown));
        drain();
      },
    );
  };

  const lost = (job: Job<M>, { seat, controller }: Attempt<M>, error: CovoteError): void => {
    const { name } = seat.member;
    if (job.done || controller.signal.aborted) {
      meter.attempt(name, "cancelled");
      return;
    }
    if (error.code === "invalid_argument" || error.code === "cancelled") {
      // Its own deadline says nothing about the endpoint; a refusal does: it answers.
      const refused = error.code === "invalid_argument";
      meter.attempt(name, refused ? "refused" : "cancelled");
      end(job, () => job.fail(error));
      if (refused) seat.happened({ t: "answered" });
      return;
    }
    if (error.code === "overloaded") {
      meter.attempt(name, "overloaded");
      const nowMs = clock.monotonic();
      const pauseMs = Math.min(error.retryAfterMs ?? fullPauseMs, 30_000);
      seat.admission.refused(seat.inFlight.size + 1, nowMs);
      seat.notBeforeMs = Math.max(seat.notBeforeMs, nowMs + pauseMs);
      clock.after(pauseMs, drain, { background: true });
      job.refusals++;
      if (job.attempts.size > 0) return;
      // It is not the request's fault, and no endpoint's: it waits for room at any of them.
      if (job.refusals < mostRefusals) line.unshift(job);
      else end(job, () => job.fail(error));
      return;
    }
    meter.attempt(name, "failed");
    job.tried.add(seat);
    seat.happened({ t: "failed", why: error.message });
    retry(job, error);
  };

  const retry = (job: Job<M>, error: CovoteError): void => {
    if (job.done || job.attempts.size > 0) return;
    if (closed || !hopeful(job) || !retries.spend()) {
      end(job, () => job.fail(error));
      return;
    }
    meter.retried();
    line.unshift(job);
    drain();
  };

  const end = (job: Job<M>, settle: () => void): void => {
    if (job.done) return;
    job.done = true;
    job.hedge?.cancel();
    for (const attempt of job.attempts) attempt.controller.abort();
    settle();
  };

  const armHedge = (job: Job<M>): void => {
    if (hedgeShare === 0 || seats.length === 1) return;
    const usualMs = latencies.quantile(hedgeQuantile(hedgeShare));
    if (usualMs === null) return;
    const late = (): void => {
      if (!hedge(job)) armHedge(job);
    };
    job.hedge?.cancel();
    job.hedge = clock.after(Math.max(hedgeLeastMs, usualMs), late, { background: true });
  };

  /** Asks a second endpoint, if the request is late, one has room, and the budget allows it; false: not now. */
  const hedge = (job: Job<M>): boolean => {
    const [running] = job.attempts;
    const usualMs = latencies.quantile(hedgeQuantile(hedgeShare));
    if (job.done || running === undefined || job.attempts.size !== 1) return true;
    if (usualMs === null || hedgeShare === 0 || clock.monotonic() - running.startedMs < usualMs) return false;
    const { seat } = running;
    const other = line.length > 0 ? null : freeSeat(job, seat);
    if (other === null) return false;
    // What a suspect has would have to be tried elsewhere anyway, should it go out.
    if (!hedges.spend() && !(seat.health.t === "suspect" && retries.spend())) return false;
    meter.hedged();
    begin(job, other);
    return true;
  };

  let ticks = 0;
  const ticking = clock.every(
    tickMs,
    () => {
      const nowMs = clock.monotonic();
      for (const seat of seats) seat.tick(nowMs);
      if (ticks++ % sampleEveryTicks === 0) for (const seat of seats) seat.sample();
      drain();
    },
    { background: true },
  );

  return {
    run: (call, { signal }) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(new CovoteError("unavailable", "the engine is closed"));
        if (signal?.aborted) return reject(cancelled(signal));
        if (line.length >= linePerSlot * most) {
          const text = `${line.length} requests wait for ${seats.length} endpoints already`;
          return reject(new CovoteError("overloaded", text, { retryAfterMs: 1000 }));
        }
        const abort = (): void => {
          const at = line.indexOf(job);
          if (at >= 0) line.splice(at, 1);
          end(job, () => job.fail(cancelled(signal)));
        };
        const release = (): void => signal?.removeEventListener("abort", abort);
        const job: Job<M> = {
          start: async ({ seat, controller }) => {
            const { value, tokens } = await call(seat.member, controller.signal);
            const settle = (): void => {
              release();
              resolve(value);
            };
            return { settle, tokens };
          },
          fail: (error) => {
            release();
            reject(error);
          },
          ...{ attempts: new Set<Attempt<M>>(), tried: new Set<Seat<M>>() },
          ...{ refusals: 0, done: false, hedge: undefined },
        };
        signal?.addEventListener("abort", abort, { once: true });
        retries.earn();
        hedges.earn();
        line.push(job);
        drain();
      }),
    slots: () => {
      let sum = 0;
      for (const { health, admission } of seats) {
        if (health.t === "healthy" || health.t === "suspect") sum += admission.limit();
      }
      return Math.max(1, sum);
    },
    stats: () => ({
      running: seats.reduce((sum, { inFlight }) => sum + inFlight.size, 0),
      waiting: line.length,
    }),
    endpoints: () =>
      seats.map(({ member, health, inFlight, admission }) => ({
        ...{ name: member.name, state: health.t, inFlight: inFlight.size, limit: admission.limit() },
      })),
    close: () => {
      if (closed) return;
      closed = true;
      ticking.cancel();
      const gone = new CovoteError("unavailable", "the engine is closed");
      for (const job of line.splice(0)) end(job, () => job.fail(gone));
      for (const seat of seats) {
        for (const key of [...seat.inFlight.keys()]) {
          const [job] = key as [Job<M>, Attempt<M>];
          end(job, () => job.fail(gone));
        }
        seat.close();
      }
    },
  };
}

function cancelled(signal: AbortSignal | undefined): CovoteError {
  return new CovoteError("cancelled", "the request was cancelled", { cause: signal?.reason });
}
