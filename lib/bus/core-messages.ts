/**
 * Messages without storage: publish, subscribe, request, respond. At most once, in order per sender.
 *
 * A handler's failure is an event, never an exception in the NATS client (which would end the connection);
 * where somebody waits for an answer, it is the answer.
 */
import {
  Empty,
  type Msg,
  type NatsConnection,
  type Subscription as NatsSubscription,
} from "@nats-io/transport-node";
import { createBoundedQueue } from "../core/bounded-queue.js";
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import type { Bus, BusEvent, MessageMeta, Subscription } from "./bus.js";
import type { Link } from "./link.js";
import { MessageHeaders } from "./message-headers.js";
import { errorFromHeaders, errorHeaders, fromNats } from "./nats-errors.js";

export const traceparentHeader = "traceparent";
const deadlineHeader = "Covote-Deadline-At-Ms";

export type CoreMessages = Pick<Bus, "publish" | "subscribe" | "request" | "respond">;

const defaultConcurrency = 64;
const defaultBacklog = 1024;
/** Handlers of one subscription that run at a time before it is called slow. */
const slowAt = 10_000;

export function createCoreMessages(
  nc: NatsConnection,
  clock: Clock,
  link: Link,
  events: EventStream<BusEvent>,
): CoreMessages {
  const report = (subject: string, cause: unknown): void =>
    events.publish({ type: "handler-error", subject, cause });

  /** Subscribes with a callback that cannot throw; `handle` returns the promise of its end, if it has one. */
  const listen = (
    subject: string,
    queue: string | undefined,
    handle: (msg: Msg) => Promise<void> | undefined,
  ): Subscription => {
    const running = new Set<Promise<void>>();
    const sub: NatsSubscription = nc.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, msg) => {
        if (error) return report(subject, fromNats(`subscription to ${subject}`, error));
        let outcome: Promise<void> | undefined;
        try {
          outcome = handle(msg);
        } catch (cause) {
          return report(subject, cause);
        }
        if (outcome === undefined) return;
        const settled = outcome
          .catch((cause: unknown) => report(subject, cause))
          .finally(() => running.delete(settled));
        running.add(settled);
        if (running.size === slowAt) events.publish({ type: "slow-consumer", subject, pending: slowAt });
      },
    });
    return {
      subject,
      drain: async () => {
        if (!sub.isClosed()) await sub.drain();
        await Promise.all(running);
      },
      close: () => {
        if (!sub.isClosed()) sub.unsubscribe();
      },
    };
  };

  return {
    publish: (subject, data, opts) => {
      checkSize(nc, subject, data);
      try {
        const { traceparent = "", reply } = opts ?? {};
        nc.publish(subject, data, {
          ...(traceparent === ""
            ? {}
            : { headers: new MessageHeaders().set(traceparentHeader, traceparent).forClient() }),
          ...(reply === undefined ? {} : { reply }),
        });
      } catch (cause) {
        throw fromNats(`publish to ${subject}`, cause);
      }
    },

    subscribe: (subject, opts, handler) =>
      listen(subject, opts.queue, (msg) => handler(msg.data, metaOf(msg)) ?? undefined),

    request: async (subject, data, opts) => {
      const what = `request to ${subject}`;
      checkSize(nc, subject, data);
      const cancelled = (): CovoteError =>
        new CovoteError("cancelled", `${what} was cancelled`, { cause: opts.signal?.reason });
      if (opts.signal?.aborted) throw cancelled();
      if (!(opts.timeoutMs > 0)) throw new CovoteError("deadline_exceeded", `${what}: no time left`);
      const untilMs = clock.now() + opts.timeoutMs;
      if (!link.connected()) await link.whenConnected(what, opts.timeoutMs, opts.signal);
      const timeout = Math.max(1, Math.ceil(untilMs - clock.now()));
      const head = new MessageHeaders()
        .set(traceparentHeader, opts.traceparent)
        .set(deadlineHeader, String(Math.floor(untilMs)));
      const answer = link
        .unlessLost(what, nc.request(subject, data, { timeout, headers: head.forClient() }))
        .catch((cause: unknown) => {
          throw fromNats(what, cause);
        });
      const msg = await (opts.signal === undefined ? answer : unlessAborted(answer, opts.signal, cancelled));
      const error = errorFromHeaders(msg.headers);
      if (error !== undefined) throw error;
      return msg.data;
    },

    respond: (subject, opts, handler) => {
      const concurrency = opts.concurrency ?? defaultConcurrency;
      const waiting = createBoundedQueue<() => void>(opts.backlog ?? defaultBacklog);
      let running = 0;
      const slot = (): Promise<void> | undefined => {
        if (running < concurrency) {
          running++;
          return undefined;
        }
        return new Promise((resolve, reject) => {
          if (waiting.push(resolve)) return;
          events.publish({ type: "overloaded", subject });
          reject(new CovoteError("overloaded", `${subject}: too many requests wait`, { retryAfterMs: 250 }));
        });
      };
      const leave = (): void => {
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      };
      const answerTo = async (msg: Msg): Promise<void> => {
        try {
          await slot();
        } catch (cause) {
          answerError(msg, CovoteError.from(cause));
          return;
        }
        try {
          const data = await handler(msg.data, metaOf(msg));
          checkSize(nc, subject, data);
          msg.respond(data);
        } catch (cause) {
          report(subject, cause);
          answerError(msg, CovoteError.from(cause));
        } finally {
          leave();
        }
      };
      return listen(subject, opts.queue, answerTo);
    },
  };
}

function answerError(msg: Msg, error: CovoteError): void {
  msg.respond(Empty, { headers: errorHeaders(error) });
}

export function metaOf(msg: Msg): MessageMeta {
  return new MetaOnDemand(msg);
}

/** Headers are parsed for those who look at them. */
class MetaOnDemand implements MessageMeta {
  readonly #msg: Msg;

  constructor(msg: Msg) {
    this.#msg = msg;
  }
  get subject(): string {
    return this.#msg.subject;
  }
  get traceparent(): string | undefined {
    return this.#msg.headers?.get(traceparentHeader) || undefined;
  }
  get reply(): string | undefined {
    return this.#msg.reply || undefined;
  }
  get deadlineAtMs(): number | undefined {
    const deadlineAtMs = Number(this.#msg.headers?.get(deadlineHeader) || Number.NaN);
    return Number.isFinite(deadlineAtMs) ? deadlineAtMs : undefined;
  }
}

/** Kept free for headers, which count: ids, trace, and what a dead letter says about its item. Bytes. */
const headerRoom = 4096;

/** The server would close the connection of a client that sends more. */
export function checkSize(nc: NatsConnection, subject: string, data: Uint8Array): void {
  const max = nc.info?.max_payload;
  if (max === undefined || data.length <= max - headerRoom) return;
  throw new CovoteError(
    "invalid_argument",
    `message to ${subject}: ${data.length} bytes and ${headerRoom} for headers exceed max_payload ${max} of nats-server`,
  );
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal, error: () => CovoteError): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(error());
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
