/**
 * Work that must not be given up: tried again for as long as it fails for a reason that passes by itself.
 *
 * A queue that is full, a server that is away: the caller keeps what it holds and waits, which is how
 * back-pressure travels up the stream. It ends with success, at the signal, or with an error that would only
 * come again.
 */
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { Bus, EnqueueOptions } from "./bus.js";
import type { QueueName } from "./queues.js";

export interface PersistOptions {
  clock: Clock;
  signal: AbortSignal;
  /** Told about each failure that is not the last word. */
  failed?: (error: CovoteError, failures: number) => void;
}

const firstPauseMs = 100;
const longestPauseMs = 2000;

/** Rejects with `cancelled` at the signal, and with the first error that is not retryable. */
export async function persist<T>(work: () => Promise<T>, options: PersistOptions): Promise<T> {
  const { clock, signal, failed } = options;
  for (let failures = 1; ; failures++) {
    if (signal.aborted) throw new CovoteError("cancelled", "stopped while trying", { cause: signal.reason });
    try {
      return await work();
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      if (!error.retryable) throw error;
      failed?.(error, failures);
      const waitMs = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures - 1, 10));
      await clock.sleep(Math.max(waitMs, error.retryAfterMs ?? 0), { signal });
    }
  }
}

/** `enqueue` that waits for room and for the server, as long as the signal allows. */
export function enqueueSurely(
  { bus, clock }: { bus: Bus; clock: Clock },
  queue: QueueName,
  data: Uint8Array,
  options: EnqueueOptions & { signal: AbortSignal },
): Promise<{ duplicate: boolean }> {
  return persist(() => bus.enqueue(queue, data, options), { clock, signal: options.signal });
}
