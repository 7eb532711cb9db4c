/**
 * The planner's settings, their defaults and what is refused. Times are milliseconds, shares are 0..1.
 *
 * The defaults are for replicas that take minutes to start (pods that load a model) and observations every 15 to 60
 * seconds. Nothing here knows how fast an engine is or how long a response: that is measured.
 */
import { CovoteError, invalid } from "../core/errors.js";
import { type PerPool, poolNames } from "./observation.js";

export interface PoolLimits {
  /** Least replicas; the planner never goes below. At least 1, or 0 for a pool that is not there (`max` 0, too). */
  min: number;
  max: number;
  gpusPerReplica: number;
}

export interface PlannerSettings {
  pools: PerPool<PoolLimits>;
  /** Votes per panel: bounds, and how many there should be when the split is right. Equal bounds hold k still. */
  k: { min: number; max: number; preferred: number };
  /** Least gain in steps per hour, as a share, that is worth a move. */
  hysteresis: number;
  /** Time after a pool's last change until it may grow again. */
  cooldownUpMs: number;
  /** Time after a pool's last change until it may shrink again. */
  cooldownDownMs: number;
  /** Largest share of the budget that changes its pool in one decision; one replica always may. */
  maxChange: number;
  /** What it takes a replica to change its pool, drain and start, until it was observed; then the last ones' mean. */
  switchMs: number;
  /** Time over which a move has to pay for its switch. */
  horizonMs: number;
  /** Measurements older than this are not acted upon. */
  staleAfterMs: number;
  /** Time constant of smoothing. */
  smoothingMs: number;
  /** A figure that leaps by more than this factor is not believed until it stays there. */
  jumpFactor: number;
  /** Time until a move that does not get ready (no GPU, no image) no longer keeps the planner from the next one. */
  transitionMs: number;
}

export type PlannerOptions = Pick<PlannerSettings, "pools" | "k"> & Partial<PlannerSettings>;

export const plannerDefaults: Readonly<Omit<PlannerSettings, "pools" | "k">> = {
  hysteresis: 0.03,
  cooldownUpMs: 60_000,
  cooldownDownMs: 60_000,
  maxChange: 0.25,
  switchMs: 180_000,
  horizonMs: 1_800_000,
  staleAfterMs: 180_000,
  smoothingMs: 60_000,
  jumpFactor: 5,
  transitionMs: 900_000,
};

/** Settings with defaults filled in; throws `invalid_argument` that names the field and the bound. */
export function plannerSettings(options: PlannerOptions): PlannerSettings {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settings: PlannerSettings = { ...plannerDefaults, ...(given as PlannerOptions) };
  for (const pool of poolNames) checkPool(`pools.${pool}`, settings.pools[pool]);
  for (const pool of ["policy", "grm"] as const) {
    if (settings.pools[pool].min < 1)
      throw invalid(`pools.${pool}.min`, "must be at least 1: nothing runs without it");
  }
  const { min, max, preferred } = settings.k;
  within("k.min", min, 1, 1024, true);
  within("k.max", max, min, 1024, true);
  within("k.preferred", preferred, min, max, true);
  within("hysteresis", settings.hysteresis, 0, 1);
  within("maxChange", settings.maxChange, 0, 1);
  within("jumpFactor", settings.jumpFactor, 1.1, 1e6);
  for (const name of ["cooldownUpMs", "cooldownDownMs", "switchMs"] as const) {
    within(name, settings[name], 0, 86_400_000);
  }
  for (const name of ["horizonMs", "staleAfterMs", "smoothingMs", "transitionMs"] as const) {
    within(name, settings[name], 1, 86_400_000);
  }
  return settings;
}

function checkPool(field: string, { min, max, gpusPerReplica }: PoolLimits): void {
  within(`${field}.min`, min, 0, 100_000, true);
  within(`${field}.max`, max, min, 100_000, true);
  if (min === 0 && max > 0)
    throw invalid(`${field}.min`, "must be at least 1, or max 0 for a pool that is not there");
  within(`${field}.gpusPerReplica`, gpusPerReplica, 1, 1024, true);
}

function within(field: string, value: number, least: number, most: number, whole = false): void {
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return;
  throw invalid(
    field,
    `must be ${whole ? "a whole number" : "a number"} from ${least} to ${most}, got ${value}`,
  );
}

/** GPUs that the minimums take. */
export function leastGpus(pools: PerPool<PoolLimits>): number {
  return poolNames.reduce((sum, pool) => sum + pools[pool].min * pools[pool].gpusPerReplica, 0);
}

/** Throws `failed_precondition` when the budget does not hold the minimums: names them and says what would do. */
export function checkBudget(budgetGpus: number, pools: PerPool<PoolLimits>): void {
  const least = leastGpus(pools);
  if (budgetGpus >= least) return;
  const parts = poolNames
    .filter((pool) => pools[pool].min > 0)
    .map((pool) => `${pool} ${pools[pool].min} × ${pools[pool].gpusPerReplica}`);
  throw new CovoteError(
    "failed_precondition",
    `budgetGpus: ${budgetGpus} GPUs are fewer than the minimums take (${parts.join(" + ")} = ${least}); raise the budget or lower pools.*.min`,
    { field: "budgetGpus" },
  );
}
