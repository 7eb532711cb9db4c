/** The last decisions of the co-scalers, as they are kept in the scaling bucket. */
import type { Bus } from "../bus/bus.js";
import type { ScalingDecision } from "../wire/gen/covote/v1/scaling.js";
import { scalingHistoryCodec } from "../wire/messages.js";

const key = "decisions";

/** Oldest first. */
export async function readHistory(bus: Bus): Promise<ScalingDecision[]> {
  const store = await bus.kv("scaling");
  const entry = await store.get(key);
  if (entry === null) return [];
  try {
    return scalingHistoryCodec.decode(entry.value).decisions;
  } catch {
    // Of another version, or damaged: the next decision starts a new one.
    return [];
  }
}

export async function writeHistory(bus: Bus, decisions: ScalingDecision[]): Promise<void> {
  const store = await bus.kv("scaling");
  await store.put(key, scalingHistoryCodec.encode({ decisions }));
}
