/**
 * The clients of a benchmark, in a thread of their own: what they cost is no part of what the cluster does in
 * its process, as with a trainer that asks from its own.
 */
import { Worker } from "node:worker_threads";
import { CovoteError } from "../lib/core/errors.js";
import type { GroupShape } from "./score-request.js";

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
  /** Of an open loop: by request id, milliseconds from call to answer. */
  latencies: ReadonlyMap<string, number>;
  /**
   * Of an open loop: how late calls were made, which is a matter of timers and of this thread alone: it waits
   * for no answer, so a cluster that stalls cannot make it late.
   */
  delayMs: { p50: number; p99: number };
}

export type ClientCommand = { t: "run"; task: Task } | { t: "stop" };
export type ClientReply = { t: "done"; result: TaskResult } | { t: "failed"; message: string };

export interface BenchClient {
  /** One at a time. */
  run(task: Task): Promise<TaskResult>;
  /** Makes no further calls; the run resolves when those in flight have ended. */
  stop(): void;
  close(): Promise<void>;
}

export function openBenchClient(address: string): BenchClient {
  const thread = new Worker(new URL("./client-thread.js", import.meta.url), { workerData: { address } });
  const send = (command: ClientCommand): void => thread.postMessage(command);
  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        const onReply = (reply: ClientReply): void => {
          thread.off("error", reject);
          if (reply.t === "done") resolve(reply.result);
          else reject(new CovoteError("internal", `a client failed: ${reply.message}`));
        };
        thread.once("error", reject);
        thread.once("message", onReply);
        send({ t: "run", task });
      }),
    stop: () => send({ t: "stop" }),
    close: async () => {
      await thread.terminate();
    },
  };
}
