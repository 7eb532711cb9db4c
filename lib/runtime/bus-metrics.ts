/** What a process sees of the bus: its connection, redeliveries, dead letters. */
import type { Bus, BusEvent } from "../bus/bus.js";
import { queueNames } from "../bus/queues.js";
import type { Metrics } from "../host/metrics.js";

const eventLabels = {
  disconnect: "disconnect",
  reconnect: "reconnect",
  closed: "closed",
  "handler-error": "handler_error",
  "lease-lost": "lease_lost",
  overloaded: "overloaded",
  "slow-consumer": "slow_consumer",
  "queue-recreated": "queue_recreated",
  error: "error",
} as const satisfies Record<Exclude<BusEvent["type"], "redelivery" | "dead-letter">, string>;

/** Returns the way to stop. */
export function busMetrics(metrics: Metrics, bus: Pick<Bus, "events" | "status">): () => void {
  const events = metrics.counter({
    name: "covote_bus_events_total",
    help: "What happened to the connection to NATS and on it",
    labels: { event: Object.values(eventLabels) },
  });
  const redeliveries = metrics.counter({
    name: "covote_bus_redeliveries_total",
    help: "Items that came to this process although somebody had them before",
    labels: { queue: queueNames },
  });
  const deadLetters = metrics.counter({
    name: "covote_dead_letters_total",
    help: "Items that this process put among the dead letters, because nobody can handle them",
    labels: { queue: queueNames },
  });
  const connected = metrics.gauge({
    name: "covote_bus_connected",
    help: "1 while the process is connected to NATS, 0 while it is not",
  });
  const stopReading = metrics.onScrape(() => connected.set(bus.status() === "connected" ? 1 : 0));
  const stopCounting = bus.events.subscribe((event) => {
    if (event.type === "redelivery") redeliveries.inc(1, { queue: event.queue });
    else if (event.type === "dead-letter") deadLetters.inc(1, { queue: event.queue });
    else events.inc(1, { event: eventLabels[event.type] });
  });
  return () => {
    stopReading();
    stopCounting();
  };
}
