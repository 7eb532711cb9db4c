/**
 * The clients of a benchmark, in a thread of their own: what they cost is no part of what the cluster does in
 * its process, as with a trainer that asks from its own.
 */
import type { GroupShape } from "./score-request.js";
import { openThread } from "./thread.js";

interface Load {
  shape: GroupShape;
  seed: number;
  /** Score calls; Infinity until `stop`. */
  calls: number;
}

/** As fast as it goes, or at a rate whatever the cluster does. */
export type Task = ({ t: "closed"; inFlight: number } | { t: "open"; perS: number }) & Load;

export interface TaskResult {
  seconds: number;
  /** Votes behind answers in which every response has a reward. */
  votes: number;
  /** Responses that have none. */
  nulls: number;
  /** Of an open loop: by request id, milliseconds from call to answer. */
  latencies: ReadonlyMap<string, number>;
  /**
   * Of an open loop: how late calls were made, which is a matter of timers and of this thread alone: it waits
   * for no answer, so a cluster that stalls cannot make it late.
   */
  delayMs: { p50: number; p99: number };
}

export type ClientCommand = { t: "run"; task: Task } | { t: "stop" };

export interface BenchClient {
  /** One at a time. */
  run(task: Task): Promise<TaskResult>;
  /** Makes no further calls; the run resolves when those in flight have ended. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

export function openBenchClient(address: string): BenchClient {
  const file = new URL("./client-thread.js", import.meta.url);
  const thread = openThread<ClientCommand, unknown>(file, "a client", { address });
  return {
    run: async (task) => (await thread.call({ t: "run", task })) as TaskResult,
    stop: async () => void (await thread.call({ t: "stop" })),
    close: thread.terminate,
  };
}
