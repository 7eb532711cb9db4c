/**
 * Spans on their way to the collector: a bounded queue, sent in batches, one batch at a time.
 *
 * - Adding a span never waits and never fails. A full queue drops the new one; a batch that the collector does not
 *   take within its time is lost. Both are counted, and said once in the log until it works again.
 * - OpenTelemetry's own batch processor does the same but tells nobody what it dropped.
 */
import type { ReadableSpan, SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";
import { createBoundedQueue } from "../core/bounded-queue.js";
import type { Clock, Timer } from "../core/clock.js";
import type { Logger } from "../core/logger.js";
import type { SpanOutcome } from "./tracing-metrics.js";

export interface SpanQueueOptions {
  exporter: SpanExporter;
  capacity: number;
  clock: Clock;
  log: Logger;
  /** Told how many spans ended which way. */
  count(outcome: SpanOutcome, spans: number): void;
}

const batchSize = 512;
/** How long a span waits for company, in milliseconds. */
const lingerMs = 1000;
const exported = 0;

export function createSpanQueue({ exporter, capacity, clock, log, count }: SpanQueueOptions): SpanProcessor {
  const waiting = createBoundedQueue<ReadableSpan>(capacity);
  let linger: Timer | undefined;
  let sending: Promise<void> | undefined;
  let closed = false;
  let failing = false;

  const fail = (spans: number, why: string): void => {
    count("failed", spans);
    if (failing) return;
    failing = true;
    log.warn({ spans }, `tracing: the collector does not take spans (${why}); they are lost until it does`);
  };

  const exportBatch = (batch: ReadableSpan[]): Promise<void> =>
    new Promise((resolve) => {
      try {
        exporter.export(batch, ({ code, error }) => {
          if (code === exported) {
            count("exported", batch.length);
            if (failing) log.info({}, "tracing: the collector takes spans again");
            failing = false;
          } else fail(batch.length, error?.message ?? "no reason given");
          resolve();
        });
      } catch (thrown) {
        fail(batch.length, thrown instanceof Error ? thrown.message : String(thrown));
        resolve();
      }
    });

  const sendAll = async (): Promise<void> => {
    while (waiting.size > 0) {
      const batch: ReadableSpan[] = [];
      for (let span = waiting.shift(); span !== undefined; span = waiting.shift()) {
        batch.push(span);
        if (batch.length === batchSize) break;
      }
      await exportBatch(batch);
    }
  };
  const flush = (): Promise<void> => {
    linger?.cancel();
    linger = undefined;
    sending ??= sendAll().finally(() => {
      sending = undefined;
    });
    return sending;
  };

  return {
    onStart: () => undefined,
    onEnd: (span) => {
      if (closed || !waiting.push(span)) return count("dropped", 1);
      if (sending !== undefined) return;
      if (waiting.size >= batchSize) void flush();
      else linger ??= clock.after(lingerMs, () => void flush(), { background: true });
    },
    forceFlush: flush,
    shutdown: async () => {
      closed = true;
      await flush();
      await exporter.shutdown();
    },
  };
}
