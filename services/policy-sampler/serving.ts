/**
 * Which run's weights the sampler's engine serves. A prompt waits until the weights of its run are there:
 * a group must never be sampled by another run's policy.
 */
import { CovoteError } from "../../lib/core/errors.js";

export interface Serving {
  /** Called when the engine serves these weights. */
  now(runId: string): void;
  /** Resolves when weights of this run are served; rejects with `unavailable` at the signal. */
  until(runId: string, signal: AbortSignal): Promise<void>;
}

export function createServing(): Serving {
  let current = "";
  const waiting = new Set<() => void>();
  return {
    now: (runId) => {
      current = runId;
      for (const check of [...waiting]) check();
    },
    until: (runId, signal) =>
      new Promise((resolve, reject) => {
        const end = (settle: () => void): void => {
          waiting.delete(check);
          signal.removeEventListener("abort", abort);
          settle();
        };
        const check = (): void => {
          if (current === runId) end(resolve);
        };
        const abort = (): void =>
          end(() => reject(new CovoteError("unavailable", `weights of run ${runId} have not arrived`)));
        if (signal.aborted) return abort();
        signal.addEventListener("abort", abort, { once: true });
        waiting.add(check);
        check();
      }),
  };
}
