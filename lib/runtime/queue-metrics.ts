/**
 * How full the work queues are, asked of the server at each scrape. Every process that tells it tells the same:
 * take the maximum, not the sum.
 *
 * When the server does not answer in time the series end: an old number would pass for one of now.
 */
import type { Bus, QueueStatus } from "../bus/bus.js";
import { queueNames } from "../bus/queues.js";
import type { Clock } from "../core/clock.js";
import { deadlineIn, withDeadline } from "../core/deadline.js";
import type { Metrics } from "../host/metrics.js";

/** A scrape waits ten seconds at most, by default. */
const answerMs = 2000;

/** Returns the way to stop. */
export function queueMetrics(metrics: Metrics, bus: Pick<Bus, "queueStatus">, clock: Clock): () => void {
  const gauges = figures.map(({ name, help, of }) => ({
    gauge: metrics.gauge({ name, help, labels: { queue: queueNames } }),
    of,
  }));
  return metrics.onScrape(async () => {
    const deadline = deadlineIn(clock, answerMs);
    const all = await withDeadline(deadline, { what: "status of the queues", clock }, () =>
      bus.queueStatus(),
    ).catch((): QueueStatus[] => []);
    const known = new Map(all.map((status) => [status.queue, status]));
    for (const queue of queueNames) {
      const status = known.get(queue);
      for (const { gauge, of } of gauges) {
        if (status === undefined) gauge.remove({ queue });
        else gauge.set(of(status), { queue });
      }
    }
  });
}

const figures: readonly { name: string; help: string; of(status: QueueStatus): number }[] = [
  {
    name: "covote_queue_messages",
    help: "Items that the queue's stream holds",
    of: ({ messages }) => messages,
  },
  {
    name: "covote_queue_max_messages",
    help: "Items that the queue's stream may hold; one more is refused as overloaded",
    of: ({ maxMessages }) => maxMessages,
  },
  {
    name: "covote_queue_pending_messages",
    help: "Backlog: items that wait to be delivered",
    of: ({ pending }) => pending,
  },
  {
    name: "covote_queue_ack_pending_messages",
    help: "Items that are delivered and not yet acknowledged",
    of: ({ inFlight }) => inFlight,
  },
  {
    name: "covote_queue_stranded_messages",
    help: "Items that the stream holds although no consumer waits for them or has them in hand",
    of: ({ stranded }) => stranded,
  },
  {
    name: "covote_queue_redelivered_messages",
    help: "Items in flight that were delivered more than once",
    of: ({ redelivered }) => redelivered,
  },
  {
    name: "covote_queue_dead_letter_messages",
    help: "Dead letters of the queue that are kept",
    of: ({ deadLetters }) => deadLetters,
  },
  {
    name: "covote_queue_size_bytes",
    help: "Bytes that the queue's stream holds",
    of: ({ bytes }) => bytes,
  },
  {
    name: "covote_queue_max_size_bytes",
    help: "Bytes that the queue's stream may hold",
    of: ({ maxBytes }) => maxBytes,
  },
];
