/** GRM workers of one process as a pool that can be resized while it runs: a stage of the host like any service. */
import { deadlineIn } from "../../lib/core/deadline.js";
import type { Logger } from "../../lib/core/logger.js";
import type { Runtime } from "../../lib/runtime/runtime.js";
import { openGrmWorker, serviceName } from "../../services/grm-worker/mount.js";
import { createLocalPool, type LocalMember, type LocalPool } from "./local-pool.js";

/** The pool, once the host has started. */
export function mountWorkerPool(runtime: Runtime, log: Logger): () => LocalPool {
  const { config, clock } = runtime;
  let pool: LocalPool | null = null;

  const start = (n: number): LocalMember => {
    const opened = openGrmWorker(runtime, { name: `${serviceName}-${n}` });
    return {
      ready: opened,
      stop: async () => (await opened).stop(deadlineIn(clock, config.cluster.drainTimeoutMs)),
    };
  };
  runtime.mount(`${serviceName}s`, async () => {
    const members = Array.from({ length: config.grm.workers }, (_, i) => start(i + 1));
    await Promise.all(members.map(({ ready }) => ready));
    const opened = createLocalPool({ members, start, log });
    pool = opened;
    return { stop: () => opened.stop() };
  });
  return () => pool as LocalPool;
}
