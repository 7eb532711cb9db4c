/**
 * What a replica could do, from what it does.
 *
 * A batching engine reads its weights once per token of the whole batch, so a half-full one is more than half as fast.
 * With slots taken to the share u, a step of the batch takes t0 + t1·u, and a replica makes
 *
 *     r(u) = u / (t0 + t1·u) = full · (1 + ρ) · u / (ρ + u),   ρ = t0 / t1
 *
 * tokens a second. Whoever divides r by u takes an idle pool for far larger than it is and shrinks it too far. ρ differs
 * per model and GPU and is learned from how speed and utilisation vary together, by a Kalman filter of one dimension over
 * the differences between observations: differences, so that an engine that becomes slower at any load says nothing
 * about ρ. When something waits and nearly all slots are taken, the pool is saturated, and what it does is what it can.
 * A backlog alone says little: a learner's step asks for a whole batch at once, which waits for a moment anywhere.
 */
import { longAgo } from "./figure.js";

export interface CapacityState {
  /** ρ and the variance of its estimate. */
  shape: number;
  variance: number;
  /** Utilisation when saturated: the last slots stay empty until a whole ballot fits. */
  full: number;
  last: { speed: number; utilisation: number } | null;
  /** When it was last busy enough to tell. */
  toldAtMs: number;
}

const prior = { shape: 1, variance: 0.5, full: 0.95 };
/** Share of the fullest that counts as saturated when something waits. */
const nearlyFull = 0.85;
const tellingShare = 0.6;
/** Standard deviation of a difference of two measured speeds, relative. */
const noise = 0.05;
/** Below this share of slots, speeds say little about full engines. */
const leastShare = 0.1;

export function newCapacity(): CapacityState {
  return { ...prior, last: null, toldAtMs: longAgo };
}

/** Whether a pool is busy enough to say what it can: work comes in spells, and an average over spells fits no curve. */
export function isTelling({ full }: CapacityState, utilisation: number): boolean {
  return utilisation >= tellingShare * full;
}

export function isSaturated({ full }: CapacityState, utilisation: number, waits: boolean): boolean {
  return waits && utilisation >= nearlyFull * full;
}

/** Learns from one observation of a replica's tokens per second. */
export function learnCapacity(
  state: CapacityState,
  speed: number,
  utilisation: number,
  saturated: boolean,
): void {
  const share = Math.min(1, Math.max(leastShare, utilisation));
  if (saturated) state.full += 0.1 * (share - state.full);
  const last = state.last;
  state.last = { speed, utilisation: share };
  if (last === null || speed <= 0 || last.speed <= 0) return;
  const [now, before] = [1 / share, 1 / last.utilisation];
  const rho = state.shape;
  // ln r = const − ln(1 + ρ/u), so the change of −ln r with ρ is what the filter sees.
  const slope = now / (1 + rho * now) - before / (1 + rho * before);
  const error = -Math.log(speed / last.speed) - Math.log((1 + rho * now) / (1 + rho * before));
  if (Math.abs(error) > 6 * noise) return;
  const gain = (state.variance * slope) / (noise * noise + state.variance * slope * slope);
  state.shape = Math.min(4, Math.max(0.05, rho + gain * error));
  state.variance = Math.max(0.01, state.variance * (1 - gain * slope));
}

/** Tokens per second of a full replica, from its speed at a utilisation. */
export function fullSpeed(
  state: CapacityState,
  speed: number,
  utilisation: number,
  saturated: boolean,
): number {
  if (saturated) return speed;
  // A pool that is hardly used is mostly empty rather than in small batches: its speed grows in proportion.
  const floor = Math.max(leastShare, utilisation);
  const atFloor = (speed * floor) / Math.max(utilisation, 0.001);
  const full = Math.max(floor, state.full);
  return (atFloor * (1 + state.shape / floor)) / (1 + state.shape / full);
}
