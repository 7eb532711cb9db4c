/**
 * Pauses between attempts: exponential with jitter. The pause before attempt n is drawn uniformly from
 * [base·factor^n / 2, base·factor^n], at most `maxMs`: half of it is fixed so that nobody retries at once,
 * half is random so that many do not retry together.
 */
import type { Random } from "./random.js";

export interface BackoffOptions {
  /** Milliseconds. */
  baseMs: number;
  maxMs: number;
  /** Default 2. */
  factor?: number;
}

/** The pause after `failures` failures in a row (1, 2, …), in milliseconds. */
export function backoffMs(failures: number, opts: BackoffOptions, random: Random): number {
  const factor = opts.factor ?? 2;
  const ceiling = Math.min(opts.maxMs, opts.baseMs * factor ** Math.max(0, failures - 1));
  return ceiling / 2 + random.next() * (ceiling / 2);
}
