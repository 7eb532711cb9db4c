/**
 * The health of one endpoint: a state machine of plain data. Pure; the pool acts on what it says.
 *
 *     healthy ─ failed, silent ─► suspect ─ probe failed ─► out ─ due ─► probing ─ probe went well ─► healthy
 *        ▲                          │                        ▲             │
 *        └── answered, probe well ──┘                        └─ probe failed
 *
 * - A probe is a real generation. A suspect gets no new work while another endpoint is healthy.
 * - An endpoint that mostly fails between good probes goes out all the same.
 * - Pauses out grow with every time in a row; an endpoint has to answer for a while before they are forgotten.
 */
import { backoffMs } from "../core/backoff.js";
import type { Random } from "../core/random.js";

export type Health =
  | { t: "healthy"; track: Track }
  | { t: "suspect"; why: string; track: Track }
  | { t: "out"; why: string; untilMs: number; track: Track }
  | { t: "probing"; why: string; track: Track };

/** What is remembered from state to state. */
interface Track {
  /** Share of the last requests that failed, exponentially weighted. */
  failing: number;
  /** Times out without a proof of health in between. */
  outs: number;
  /** Good answers since it came back. */
  proof: number;
}

export type HealthEvent =
  /** A request was answered, if only with a refusal of its own fault. */
  | { t: "answered" }
  /** A request failed through the endpoint's fault. */
  | { t: "failed"; why: string }
  /** Its oldest request waits much longer than requests do, and nothing came since. */
  | { t: "silent"; why: string }
  | { t: "probed" }
  | { t: "probe failed"; why: string }
  /** The pause is over. */
  | { t: "due" };

const outPause = { baseMs: 1000, maxMs: 30_000 };
const memory = 0.2;
/** Above this share of failures an endpoint goes out without a probe. */
const mostlyFailing = 0.5;
/** Good answers after which former times out are forgotten. */
const proofNeeded = 20;

export const healthy: Health = { t: "healthy", track: { failing: 0, outs: 0, proof: 0 } };

/** One that has never been reached: out, to be probed at once. */
export function unproven(why: string, nowMs: number): Health {
  return { t: "out", why, untilMs: nowMs, track: { failing: 0, outs: 1, proof: 0 } };
}

export function nextHealth(health: Health, event: HealthEvent, nowMs: number, random: Random): Health {
  const { track } = health;
  switch (event.t) {
    case "answered": {
      const proof = track.proof + 1;
      const outs = proof >= proofNeeded ? 0 : track.outs;
      const better = { failing: track.failing * (1 - memory), outs, proof };
      // An answer to a request from before it went out does not bring it back: its probe does.
      return health.t === "healthy" || health.t === "suspect"
        ? { t: "healthy", track: better }
        : { ...health, track: { ...track, failing: better.failing } };
    }
    case "failed": {
      const worse = { ...track, failing: track.failing * (1 - memory) + memory, proof: 0 };
      if (health.t === "out" || health.t === "probing") return { ...health, track: worse };
      if (worse.failing > mostlyFailing) return out(event.why, worse, nowMs, random);
      return { t: "suspect", why: event.why, track: worse };
    }
    case "silent":
      return health.t === "healthy" ? { t: "suspect", why: event.why, track } : health;
    case "probed": {
      if (health.t === "suspect") return { t: "healthy", track };
      return health.t === "probing" ? { t: "healthy", track: { ...track, failing: 0, proof: 0 } } : health;
    }
    case "probe failed":
      return health.t === "suspect" || health.t === "probing" ? out(event.why, track, nowMs, random) : health;
    case "due":
      return health.t === "out" && nowMs >= health.untilMs ? { ...probing(health.why, track) } : health;
  }
}

function probing(why: string, track: Track): Health {
  return { t: "probing", why, track };
}

function out(why: string, track: Track, nowMs: number, random: Random): Health {
  const outs = track.outs + 1;
  const untilMs = nowMs + backoffMs(outs, outPause, random);
  return { t: "out", why, untilMs, track: { failing: track.failing, outs, proof: 0 } };
}
