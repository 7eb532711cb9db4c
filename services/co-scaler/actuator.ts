/**
 * What carries out scaling decisions: the API server, the pools of this machine, KEDA, or nobody.
 *
 * - `read` is fresh: what the actuator finds now, never what it remembers; it rejects when it cannot be sure.
 * - `apply` carries out one change of what the last `read` found, and rejects with `failed_precondition` when somebody
 *   else has changed the pool since. A change is absolute, so that doing it twice is doing it once.
 */
import type { HostLoad } from "../../lib/runtime/load-book.js";
import type { PerPool, PoolName } from "../../lib/scaling/observation.js";

export interface PoolState {
  /** Replicas asked for. */
  wanted: number;
  /** That work. */
  ready: number;
  /** That are there: starting and draining ones included, since they hold their GPUs. */
  present: number;
}

export interface PoolChange {
  pool: PoolName;
  from: number;
  to: number;
}

export interface Actuator {
  /** On decisions and metrics. */
  readonly name: "observe" | "local" | "kubernetes" | "keda";
  read(): Promise<PerPool<PoolState>>;
  /** `loads`: the pool's processes, to choose whom to stop by. */
  apply(change: PoolChange, loads: readonly HostLoad[]): Promise<void>;
  close(): Promise<void>;
}

/** Who may act. */
export interface Leadership {
  /** True while nobody else may act; what is begun now has `timeoutMs` to end. */
  holds(): boolean;
  /** In one line: why it cannot be had; null: it is held, or another one holds it. */
  problem(): string | null;
  stop(): Promise<void>;
}

/** For actuators that exist once. */
export const soleLeader: Leadership = {
  holds: () => true,
  problem: () => null,
  stop: () => Promise.resolve(),
};
