/**
 * One endpoint of a pool: its health with the probes that decide on it, its admission, and what it has in flight.
 *
 * Everything that happens to the endpoint comes in here and moves its state in one place; the pool hears of moves
 * that concern its requests.
 */
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { Random } from "../core/random.js";
import { type Admission, createAdmission, type LoadSample } from "./pool-admission.js";
import { type Health, type HealthEvent, nextHealth } from "./pool-health.js";
import type { Latencies } from "./pool-latency.js";

export interface PoolMember {
  /** For messages and metrics. */
  readonly name: string;
  /** A real generation; rejects unless the endpoint serves, and serves what the others do. */
  probe(signal: AbortSignal): Promise<void>;
  /** Its own load; null when it tells none. */
  load(signal: AbortSignal): Promise<LoadSample | null>;
}

export interface Seat<M extends PoolMember> {
  readonly member: M;
  readonly health: Health;
  readonly admission: Admission;
  /** Start times of what is in flight, by request, oldest first. */
  readonly inFlight: Map<object, number>;
  /** Milliseconds of the monotonic clock before which it asked for nothing more. */
  notBeforeMs: number;
  /** Takes one more request now. */
  free(nowMs: number): boolean;
  happened(event: HealthEvent): void;
  /** Another endpoint answered what this one had for so long, in milliseconds. */
  overtaken(afterMs: number): void;
  /** Looks at the time: whether it has been silent for too long, or is due for a probe. */
  tick(nowMs: number): void;
  /** Asks it for its load, unless it is being asked. */
  sample(): void;
  close(): void;
}

export interface SeatOptions<M extends PoolMember> {
  member: M;
  initial: Health;
  /** Most requests side by side. */
  concurrency: number;
  /** Of the whole pool: how long requests take. */
  latencies: Latencies;
  clock: Clock;
  random: Random;
  /** Called after every change of state. */
  moved(from: Health, to: Health): void;
}

/** Of the slowest usual requests (p99): how long silence is suspicious, and how long a probe may take. */
const silence = { factor: 3, leastMs: 1000, mostMs: 30_000, unknownMs: 5000 };
/** One request in a hundred is slower than p99; several, with no answer in between, are no chance. */
const overdue = { factor: 1, leastMs: 100, mostMs: 30_000, unknownMs: 5000 };
const overdueRequests = 3;
const probe = { factor: 2, leastMs: 1000, mostMs: 10_000, unknownMs: 5000 };
const sampleTimeoutMs = 2000;

export function createSeat<M extends PoolMember>(options: SeatOptions<M>): Seat<M> {
  const { member, concurrency, latencies, clock, random, moved } = options;
  const admission = createAdmission({ most: concurrency });
  const inFlight = new Map<object, number>();
  const closing = new AbortController();
  let health = options.initial;
  let answeredMs = Number.NEGATIVE_INFINITY;
  /** Requests that were overdue when another endpoint answered them, since its last answer. */
  let overtaken = 0;
  let probing = false;
  let sampling = false;

  const bound = ({ factor, leastMs, mostMs, unknownMs }: typeof silence): number => {
    const p99 = latencies.quantile(0.99);
    return p99 === null ? unknownMs : Math.min(mostMs, Math.max(leastMs, factor * p99));
  };

  const within = (ms: number, work: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    const own = new AbortController();
    const stop = (): void => own.abort();
    const timer = clock.after(ms, stop, { background: true });
    closing.signal.addEventListener("abort", stop, { once: true });
    return work(own.signal).finally(() => {
      timer.cancel();
      closing.signal.removeEventListener("abort", stop);
    });
  };

  const look = (): void => {
    if (probing || closing.signal.aborted) return;
    probing = true;
    const ms = bound(probe);
    within(ms, (signal) => member.probe(signal)).then(
      () => {
        probing = false;
        happened({ t: "probed" });
      },
      (thrown) => {
        probing = false;
        const { code, message } = CovoteError.from(thrown);
        const why = code === "cancelled" ? `no answer to a probe within ${Math.round(ms)} ms` : message;
        happened({ t: "probe failed", why });
      },
    );
  };

  const happened = (event: HealthEvent): void => {
    if (closing.signal.aborted) return;
    if (event.t === "answered") {
      answeredMs = clock.monotonic();
      overtaken = 0;
    }
    const from = health;
    health = nextHealth(health, event, clock.monotonic(), random);
    if (health.t === "suspect" || health.t === "probing") look();
    if (health.t !== from.t) moved(from, health);
  };

  return {
    member,
    get health() {
      return health;
    },
    admission,
    inFlight,
    notBeforeMs: Number.NEGATIVE_INFINITY,
    free(nowMs) {
      return health.t === "healthy" && nowMs >= this.notBeforeMs && inFlight.size < admission.limit();
    },
    happened,
    overtaken: (afterMs) => {
      if (afterMs > bound(overdue)) overtaken++;
    },
    tick: (nowMs) => {
      if (health.t === "out") happened({ t: "due" });
      if (health.t !== "healthy" || inFlight.size + overtaken === 0) return;
      let late = overtaken;
      let quietMs = 0;
      for (const startedMs of inFlight.values()) {
        const waitedMs = nowMs - Math.max(startedMs, answeredMs);
        quietMs = Math.max(quietMs, waitedMs);
        if (waitedMs > bound(overdue)) late++;
      }
      if (late < overdueRequests && quietMs <= bound(silence)) return;
      overtaken = 0;
      happened({ t: "silent", why: `no answer to ${Math.max(1, late)} requests that are long due` });
    },
    sample: () => {
      if (sampling || health.t === "out" || health.t === "probing") return;
      sampling = true;
      within(sampleTimeoutMs, async (signal) => {
        const load = await member.load(signal);
        if (load !== null) admission.sampled(load, inFlight.size, clock.monotonic());
      })
        // Metrics that do not come permit no growth; whether the endpoint lives is for its probes to find out.
        .catch(() => undefined)
        .finally(() => {
          sampling = false;
        });
    },
    close: () => closing.abort(),
  };
}
