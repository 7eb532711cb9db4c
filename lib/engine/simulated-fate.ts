/**
 * What becomes of one simulated request, and when: pure functions of its seed.
 *
 * - `fateOf` draws at most one failure; the same seed always meets the same fate.
 * - `serviceMs` = (fixed + prompt tokens / prefill rate + completion tokens / decode rate) · X, where X is
 *   log-normal with median 1, so that σ alone sets the tail: p99 / p50 = exp(2.33 σ), mean / p50 = exp(σ²/2).
 */
import { invalid } from "../core/errors.js";
import { uniformAt } from "../core/random.js";

export interface SimulatedLatency {
  /** Tokens per second of one request; Infinity takes no time. */
  prefillTokensPerS: number;
  decodeTokensPerS: number;
  /** Time of every request besides its tokens, in milliseconds. */
  fixedMs: number;
  /** σ of the logarithm of the service time; 0 has no tail. */
  sigma: number;
}

/** Chances in [0, 1], together at most 1. */
export interface SimulatedFailures {
  /** The request fails as `unavailable` after its service time. */
  error: number;
  /** The text comes out spoiled. */
  unparsable: number;
  /** The request never ends by itself: it holds its slot until it is cancelled. */
  hang: number;
  /** The engine dies with this request and all others in it. */
  death: number;
}

export type Fate = "well" | keyof SimulatedFailures;

export const instant: SimulatedLatency = {
  prefillTokensPerS: Infinity,
  decodeTokensPerS: Infinity,
  fixedMs: 0,
  sigma: 0,
};

export const faultless: SimulatedFailures = { error: 0, unparsable: 0, hang: 0, death: 0 };

/** Indices of `uniformAt`: one draw each, so that one option never shifts another's luck. */
const draws = { fate: 0, normalRadius: 1, normalAngle: 2 } as const;

export function fateOf(seed: number, failures: SimulatedFailures): Fate {
  let left = uniformAt(seed, draws.fate);
  for (const fate of ["error", "unparsable", "hang", "death"] as const) {
    if (left < failures[fate]) return fate;
    left -= failures[fate];
  }
  return "well";
}

export function serviceMs(
  seed: number,
  tokens: { prompt: number; completion: number },
  latency: SimulatedLatency,
): number {
  const { fixedMs, prefillTokensPerS, decodeTokensPerS, sigma } = latency;
  const median = fixedMs + 1000 * (tokens.prompt / prefillTokensPerS + tokens.completion / decodeTokensPerS);
  return sigma === 0 || median === 0 ? median : median * Math.exp(sigma * normalAt(seed));
}

/** Throws `invalid_argument` for the first impossible value. */
export function validateSimulation(latency: SimulatedLatency, failures: SimulatedFailures): void {
  for (const rate of ["prefillTokensPerS", "decodeTokensPerS"] as const) {
    if (!(latency[rate] > 0)) throw invalid(`latency.${rate}`, `must be above 0, got ${latency[rate]}`);
  }
  for (const size of ["fixedMs", "sigma"] as const) {
    if (!(latency[size] >= 0 && latency[size] < Infinity)) {
      throw invalid(`latency.${size}`, `must be 0 or more, got ${latency[size]}`);
    }
  }
  for (const [kind, chance] of Object.entries(failures)) {
    if (!(chance >= 0 && chance <= 1)) throw invalid(`failures.${kind}`, `must be in 0..1, got ${chance}`);
  }
  const { error, unparsable, hang, death } = failures;
  const sum = error + unparsable + hang + death;
  if (sum > 1 + 1e-9) throw invalid("failures", `chances must sum to at most 1, got ${sum}`);
}

/** Standard normal by Box and Muller, from two draws of the seed. */
function normalAt(seed: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - uniformAt(seed, draws.normalRadius)));
  return radius * Math.cos(2 * Math.PI * uniformAt(seed, draws.normalAngle));
}
