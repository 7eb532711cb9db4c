/**
 * What a co-scaler must not forget when it is killed: what its planner has learned, cool-downs included, the split that
 * it is on the way to, and the changes that it was about to make. Kept in the scaling bucket, written before anything is
 * changed; the revision keeps two co-scalers from deciding at the same time.
 */
import type { Bus, KeyValue } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { deadlineIn, withDeadline } from "../../lib/core/deadline.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { PerPool } from "../../lib/scaling/observation.js";
import type { PlannerState } from "../../lib/scaling/planner.js";
import type { PoolChange } from "./actuator.js";

export interface Memory {
  /** Of this record; one that is unknown is not read. */
  layout: 1;
  planner: PlannerState | null;
  /** Replicas that each pool is to have; null before the first decision. */
  goal: PerPool<number> | null;
  /** The last change begun, per pool: who finds another size finds somebody else's. */
  begun: PerPool<PoolChange> | null;
  budgetGpus: number | null;
  /** The planner's time. */
  nowMs: number;
  votes: number | null;
}

export interface MemoryStore {
  /** A fresh memory when there is none, or none that can be read. */
  recall(): Promise<Memory>;
  /** Rejects with `failed_precondition` when another co-scaler has written since the last recall. */
  keep(memory: Memory): Promise<void>;
}

export const nothing: Memory = {
  layout: 1,
  planner: null,
  goal: null,
  begun: null,
  budgetGpus: null,
  nowMs: 0,
  votes: null,
};

const key = "memory";
const operationMs = 3000;

export function openMemory({ bus, clock }: { bus: Bus; clock: Clock }): MemoryStore {
  let revision = 0;
  const work = <T>(what: string, operation: (store: KeyValue) => Promise<T>): Promise<T> =>
    withDeadline(deadlineIn(clock, operationMs), { what, clock }, async () =>
      operation(await bus.kv("scaling")),
    );
  return {
    recall: () =>
      work("reading the co-scaler's memory", async (store) => {
        const entry = await store.get(key);
        revision = entry?.revision ?? 0;
        return entry === null ? structuredClone(nothing) : read(entry.value);
      }),
    keep: (memory) =>
      work("keeping the co-scaler's memory", async (store) => {
        const value = new TextEncoder().encode(JSON.stringify(memory));
        try {
          revision =
            revision === 0 ? await store.create(key, value) : await store.update(key, value, revision);
        } catch (thrown) {
          const { code } = CovoteError.from(thrown);
          if (code !== "failed_precondition" && code !== "already_exists") throw thrown;
          throw new CovoteError(
            "failed_precondition",
            "another co-scaler decides for this cluster, too; stop one of them, or give both the same lease",
            { cause: thrown },
          );
        }
      }),
  };
}

function read(bytes: Uint8Array): Memory {
  try {
    const memory = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Memory>;
    if (memory.layout === 1 && typeof memory.nowMs === "number") return { ...nothing, ...memory, layout: 1 };
  } catch {
    // What is no memory is forgotten: the planner learns anew, and holds what there is until it has.
  }
  return structuredClone(nothing);
}
