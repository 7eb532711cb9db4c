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
 * about ρ. While something waits for the pool it is full whatever the slots say, and what it does is what it can.
 */
export interface CapacityState {
  /** ρ and the variance of its estimate. */
  shape: number;
  variance: number;
  /** Utilisation that counts as full, smoothed over times with a backlog: ballots do not fill the last slots. */
  full: number;
  last: { speed: number; utilisation: number } | null;
}

const prior = { shape: 1, variance: 0.5 };
/** Standard deviation of a difference of two measured speeds, relative. */
const noise = 0.05;
/** Below this share of slots, speeds say little about full engines. */
const leastShare = 0.1;

export function newCapacity(): CapacityState {
  return { ...prior, full: 1, last: null };
}

/** Learns from one observation of a replica's tokens per second. */
export function learnCapacity(
  state: CapacityState,
  speed: number,
  utilisation: number,
  waits: boolean,
): void {
  const share = Math.min(1, Math.max(leastShare, utilisation));
  if (waits && share > 0.5) state.full += 0.1 * (share - state.full);
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

/** Tokens per second of a full replica, from its speed at a utilisation; `waiting` is the share of time with a backlog. */
export function fullSpeed(state: CapacityState, speed: number, utilisation: number, waiting: number): number {
  const share = Math.min(1, Math.max(leastShare, utilisation) / state.full);
  const lifted = (speed * (1 + state.shape / share)) / (1 + state.shape);
  return waiting * speed + (1 - waiting) * lifted;
}
