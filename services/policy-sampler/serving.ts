/**
 * Which version of which run's policy the engine serves. A prompt waits until it is its own run's and new
 * enough: a group must never be sampled by another run's policy, nor by one that will be too stale.
 */
import { CovoteError } from "../../lib/core/errors.js";

export interface Serving {
  /** Called when the engine serves these weights. */
  now(runId: string, version: number): void;
  /** Resolves when this version of the run, or a later one, is served; rejects with `unavailable` at the signal. */
  until(runId: string, minVersion: number, signal: AbortSignal): Promise<void>;
}

export function createServing(): Serving {
  let current = { runId: "", version: -1 };
  const waiting = new Set<() => void>();
  return {
    now: (runId, version) => {
      current = { runId, version };
      for (const check of [...waiting]) check();
    },
    until: (runId, minVersion, signal) =>
      new Promise((resolve, reject) => {
        const end = (settle: () => void): void => {
          waiting.delete(check);
          signal.removeEventListener("abort", abort);
          settle();
        };
        const check = (): void => {
          if (current.runId === runId && current.version >= minVersion) end(resolve);
        };
        const abort = (): void =>
          end(() =>
            reject(new CovoteError("unavailable", `policy ${minVersion} of run ${runId} has not arrived`)),
          );
        if (signal.aborted) return abort();
        signal.addEventListener("abort", abort, { once: true });
        waiting.add(check);
        check();
      }),
  };
}
