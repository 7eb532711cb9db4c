/**
 * Joins what arrives while the engine is busy into its next call, at most `limit` items at a time. One call
 * runs at a time, so an idle engine is called at once and a busy one in large batches.
 *
 * A call whose items have all passed their deadline is aborted; items that have passed it before their call fail
 * with `deadline_exceeded` and take no room.
 */
import type { Clock } from "../../lib/core/clock.js";
import { deadlineAt, withDeadline } from "../../lib/core/deadline.js";
import { type Deferred, deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";

export interface Batcher<I, O> {
  /**
   * One output per item, in order; rejects when the call that held one of them failed. `deadlineAtMs` in
   * milliseconds since the epoch.
   */
  add(items: readonly I[], deadlineAtMs: number): Promise<O[]>;
  /** Items that no call has taken yet. */
  waiting(): number;
}

export interface BatcherOptions {
  limit: number;
  clock: Clock;
}

interface Entry<I, O> {
  item: I;
  deadlineAtMs: number;
  output: Deferred<O>;
}

export function createBatcher<I, O>(
  call: (items: readonly I[], signal: AbortSignal) => Promise<O[]>,
  { limit, clock }: BatcherOptions,
): Batcher<I, O> {
  const waiting: Entry<I, O>[] = [];
  let running = false;

  const next = (): Entry<I, O>[] => {
    const batch: Entry<I, O>[] = [];
    while (batch.length < limit) {
      const entry = waiting.shift();
      if (entry === undefined) break;
      if (entry.deadlineAtMs > clock.now()) batch.push(entry);
      else entry.output.reject(new CovoteError("deadline_exceeded", "the deadline passed before the call"));
    }
    return batch;
  };

  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    for (let batch = next(); batch.length > 0; batch = next()) {
      const deadline = deadlineAt(clock, Math.max(...batch.map((entry) => entry.deadlineAtMs)));
      const items = batch.map((entry) => entry.item);
      try {
        const outputs = await withDeadline(deadline, { what: "a batch", clock }, ({ signal }) =>
          call(items, signal),
        );
        batch.forEach(({ output }, i) => {
          output.resolve(outputs[i] as O);
        });
      } catch (thrown) {
        for (const { output } of batch) output.reject(thrown);
      }
    }
    running = false;
  };

  return {
    add: (items, deadlineAtMs) => {
      const outputs = items.map((item) => {
        const output = deferred<O>();
        waiting.push({ item, deadlineAtMs, output });
        return output.promise;
      });
      // It catches every failure itself, and gives it to who waits.
      void run();
      return Promise.all(outputs);
    },
    waiting: () => waiting.length,
  };
}
