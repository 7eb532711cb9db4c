/**
 * The grm-workers of a benchmark, in a thread with a connection of its own: as they live beside an aggregator
 * in `covote up --processes` and on a cluster.
 */
import type { SimulatedLatency } from "../lib/engine/simulated-fate.js";
import { openThread } from "./thread.js";

export interface JudgesOptions {
  natsUrl: string;
  cluster: string;
  workers: number;
  slots: number;
  latency: Partial<SimulatedLatency>;
  votesPerBallot: number;
  /** Servers for one worker instead of simulated engines; `slots` are then requests at one of them. */
  endpoints?: readonly string[];
}

export type JudgesCommand = "ready" | "served" | "slotMs" | "heap" | "stop";

export interface Judges {
  ready(): Promise<void>;
  /** By request id, how long its slowest vote was served, in milliseconds; those since the last time. */
  served(): Promise<ReadonlyMap<string, number>>;
  /** Slot time taken, summed over the slots of all engines, in milliseconds. */
  slotMs(): Promise<number>;
  /** In use after full collections, in megabytes. */
  heapMb(): Promise<number>;
  stop(): Promise<void>;
}

export function openJudges(options: JudgesOptions): Judges {
  const file = new URL("./judges-thread.js", import.meta.url);
  const thread = openThread<JudgesCommand, unknown>(file, "the workers' thread", options);
  return {
    ready: async () => void (await thread.call("ready")),
    served: async () => (await thread.call("served")) as ReadonlyMap<string, number>,
    slotMs: async () => (await thread.call("slotMs")) as number,
    heapMb: async () => (await thread.call("heap")) as number,
    stop: async () => {
      await thread.call("stop");
      await thread.terminate();
    },
  };
}
