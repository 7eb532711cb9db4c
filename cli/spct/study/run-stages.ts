/** Runs the stages of a study, several at a time: each as soon as everything that it reads has been made. */
import { CovoteError } from "../../../lib/core/errors.js";
import type { Stage } from "./stage.js";

export interface RunStagesOptions {
  /** Most at a time, at least 1. */
  jobs: number;
  run(stage: Stage): Promise<unknown>;
}

/**
 * Earlier stages go first. After a failure nothing new begins; what runs is waited for, since its result is kept,
 * and the first failure is thrown.
 */
export async function runStages(stages: readonly Stage[], { jobs, run }: RunStagesOptions): Promise<void> {
  const waiting = [...stages];
  const unmade = new Set(stages.map(({ result }) => result));
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const next = (): Stage | undefined => {
    const at = waiting.findIndex(({ inputs }) => !inputs.some((input) => unmade.has(input)));
    return at < 0 ? undefined : waiting.splice(at, 1)[0];
  };
  const begin = (stage: Stage): void => {
    const done = run(stage)
      .then(
        () => void unmade.delete(stage.result),
        (thrown: unknown) => void failures.push(thrown),
      )
      .finally(() => running.delete(done));
    running.add(done);
  };
  for (;;) {
    while (failures.length === 0 && running.size < jobs) {
      const stage = next();
      if (stage === undefined) break;
      begin(stage);
    }
    if (running.size === 0) break;
    await Promise.race(running);
  }
  if (failures.length > 0) throw failures[0];
  if (waiting[0] !== undefined) {
    throw new CovoteError("internal", `${waiting[0].title}: waits for what no stage makes`);
  }
}
