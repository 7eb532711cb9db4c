/** A queue between callbacks and an async iteration: push from anywhere, iterate once. */
import { deferred } from "../../lib/core/deferred.js";

export interface Channel<T> {
  push(item: T): void;
  end(): void;
  /** Ends the iteration with an error, after what was pushed before. */
  fail(cause: unknown): void;
  items(): AsyncIterable<T>;
}

export function createChannel<T>(): Channel<T> {
  const queue: T[] = [];
  let wake = deferred<void>();
  let ended: { cause?: unknown } | null = null;
  const signal = (): void => {
    wake.resolve();
    wake = deferred<void>();
  };
  return {
    push: (item) => {
      queue.push(item);
      signal();
    },
    end: () => {
      ended ??= {};
      signal();
    },
    fail: (cause) => {
      ended ??= { cause };
      signal();
    },
    items: async function* () {
      for (;;) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else if (ended === null) await wake.promise;
        else if ("cause" in ended) throw ended.cause;
        else return;
      }
    },
  };
}
