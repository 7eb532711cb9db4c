/**
 * The same bus with spans around what crosses it: `publish` where an item enters a queue, `process` where a handler
 * works on it (once per delivery), and `process` where a request is answered. What a handler sends on under its item's
 * `traceparent` becomes a child of that span.
 *
 * Only for processes that trace: the bus itself knows nothing of it. Core messages carry a traceparent and get no span
 * of their own, since a vote's way is told by the vote's span and by the tally's.
 */
import { type Attributes, type Tracer, within } from "../core/tracer.js";
import type { Bus, MessageMeta, WorkItem } from "./bus.js";
import type { QueueName } from "./queues.js";

export function tracedBus<B extends Bus>(bus: B, tracer: Tracer): B {
  const traced: Pick<Bus, "enqueue" | "work" | "respond"> = {
    enqueue: (queue, data, opts) => {
      const span = tracer.start(`${queue} publish`, {
        kind: "producer",
        parent: opts.traceparent,
        attributes: messaging("publish", queue, opts.id),
      });
      if (span === null) return bus.enqueue(queue, data, opts);
      return within(span, async () => {
        const stored = await bus.enqueue(queue, data, { ...opts, traceparent: span.traceparent });
        span.set({ "covote.duplicate": stored.duplicate });
        return stored;
      });
    },
    work: (queue, opts, handler) =>
      bus.work(queue, opts, (item) => {
        const span = tracer.start(`${queue} process`, {
          kind: "consumer",
          parent: item.traceparent,
          attributes: {
            ...messaging("process", queue, item.id),
            "covote.delivery_count": item.deliveryCount,
          },
        });
        if (span === null) return handler(item);
        return within(span, () => handler(new TracedItem(item, span.traceparent)));
      }),
    respond: (subject, opts, handler) =>
      bus.respond(subject, opts, (data, meta) => {
        const span = tracer.start(`${opts.queue ?? subject} process`, {
          kind: "server",
          parent: meta.traceparent,
          attributes: messaging("process", subject),
        });
        if (span === null) return handler(data, meta);
        return within(span, () => handler(data, withTraceparent(meta, span.traceparent)));
      }),
  };
  return Object.assign(Object.create(bus) as B, traced);
}

function messaging(
  operation: "publish" | "process",
  destination: QueueName | string,
  id?: string,
): Attributes {
  return {
    "messaging.system": "nats",
    "messaging.operation.type": operation === "publish" ? "send" : "process",
    "messaging.operation.name": operation,
    "messaging.destination.name": destination,
    "messaging.message.id": id,
  };
}

function withTraceparent(meta: MessageMeta, traceparent: string): MessageMeta {
  const { subject, reply, deadlineAtMs } = meta;
  return { subject, reply, deadlineAtMs, traceparent };
}

/** An item keeps its state in itself, so this one asks it. */
class TracedItem implements WorkItem {
  readonly traceparent: string;
  readonly #item: WorkItem;

  constructor(item: WorkItem, traceparent: string) {
    this.#item = item;
    this.traceparent = traceparent;
  }

  get data(): Uint8Array {
    return this.#item.data;
  }

  get id(): string {
    return this.#item.id;
  }

  get queue(): QueueName {
    return this.#item.queue;
  }

  get subject(): string {
    return this.#item.subject;
  }

  get deliveryCount(): number {
    return this.#item.deliveryCount;
  }

  get enqueuedAtMs(): number {
    return this.#item.enqueuedAtMs;
  }

  get signal(): AbortSignal {
    return this.#item.signal;
  }
}
