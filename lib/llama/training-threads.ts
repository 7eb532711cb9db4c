/**
 * Threads that run training jobs: each one job at a time, jobs of one worker in the order given.
 *
 * A thread keeps the process alive only while it works. When one dies, every waiting and later job fails with
 * `internal`; `close` fails them with `cancelled`.
 */
import { Worker } from "node:worker_threads";
import { CovoteError } from "../core/errors.js";
import type { Answer, Job, JobResult, WorkerSetup } from "./training-protocol.js";

export interface TrainingThreads {
  readonly size: number;
  /** Runs `job` on one thread. */
  run(thread: number, job: Job): Promise<JobResult>;
  /** Runs each job on whichever thread is free first; results in the order of jobs, with their thread. */
  share(jobs: readonly Job[]): Promise<{ result: JobResult; thread: number }[]>;
  close(): Promise<void>;
}

interface Waiting {
  resolve(result: JobResult): void;
  reject(error: CovoteError): void;
}

export function createTrainingThreads(size: number, setup: WorkerSetup): TrainingThreads {
  let failure: CovoteError | undefined;
  const threads = Array.from({ length: size }, () => {
    const worker = new Worker(new URL("./training-worker.js", import.meta.url), { workerData: setup });
    worker.unref();
    const waiting: Waiting[] = [];
    worker.on("message", (answer: Answer) => {
      const next = waiting.shift();
      if (waiting.length === 0) worker.unref();
      if (answer.t === "done") next?.resolve(answer.result);
      else next?.reject(new CovoteError(answer.code, answer.message, { cause: answer.stack }));
    });
    worker.on("error", (error) => fail(CovoteError.from(error)));
    worker.on("exit", () => fail(new CovoteError("internal", "llama: a training thread ended")));
    return { worker, waiting };
  });

  function fail(error: CovoteError): void {
    failure ??= error;
    for (const { waiting } of threads) for (const one of waiting.splice(0)) one.reject(failure);
  }

  const run = (thread: number, job: Job): Promise<JobResult> => {
    const chosen = threads[thread];
    if (failure !== undefined) return Promise.reject(failure);
    if (chosen === undefined) return Promise.reject(new CovoteError("internal", `no thread ${thread}`));
    const { worker, waiting } = chosen;
    return new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      worker.ref();
      worker.postMessage(job);
    });
  };

  return {
    size,
    run,
    async share(jobs) {
      const results: { result: JobResult; thread: number }[] = [];
      let next = 0;
      const work = async (thread: number): Promise<void> => {
        while (next < jobs.length) {
          const at = next++;
          results[at] = { result: await run(thread, jobs[at] as Job), thread };
        }
      };
      const ended = await Promise.allSettled(threads.map((_, thread) => work(thread)));
      for (const end of ended) if (end.status === "rejected") throw end.reason;
      return results;
    },
    async close() {
      fail(new CovoteError("cancelled", "llama: training was closed"));
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}
