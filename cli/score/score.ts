/** Scores many groups side by side, and hands the answers on in the order of the questions. */
import { CovoteError } from "../../lib/core/errors.js";
import type { JudgingOptions } from "../../lib/wire/gen/covote/v1/reward.js";
import type { RewardClient, Scored } from "./ask.js";
import type { ScoreTask } from "./input.js";

/** Groups in flight: enough to keep the workers busy, far below what a service takes by default. */
const concurrency = 32;

export interface ScoreAllOptions {
  judging: JudgingOptions;
  signal: AbortSignal;
  /** Called for each task in order, with its answer or with what went wrong. */
  answered(task: ScoreTask, answer: Scored | CovoteError): void;
}

/** Rejects when the service is gone; a group that was refused is an answer. */
export async function scoreAll(
  client: RewardClient,
  tasks: readonly ScoreTask[],
  { judging, signal, answered }: ScoreAllOptions,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const answers: (Scored | CovoteError | undefined)[] = new Array(tasks.length);
  let next = 0;
  let shown = 0;
  const lane = async (): Promise<void> => {
    while (next < tasks.length) {
      const index = next++;
      const answer = await client.score(tasks[index] as ScoreTask, judging, either).catch(CovoteError.from);
      if (answer instanceof CovoteError && isFatal(answer)) throw answer;
      answers[index] = answer;
      for (let done = answers[shown]; done !== undefined; done = answers[shown]) {
        answered(tasks[shown] as ScoreTask, done);
        answers[shown++] = undefined;
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, tasks.length) }, lane));
  } finally {
    stop.abort(new CovoteError("cancelled", "another group failed"));
  }
}

/** No other group would fare better. */
function isFatal({ code }: CovoteError): boolean {
  return (
    code === "unavailable" || code === "cancelled" || code === "failed_precondition" || code === "internal"
  );
}
