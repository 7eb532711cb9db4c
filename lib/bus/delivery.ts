/**
 * One delivery of one item: what the handler sees of it, and the last word to the server about it, which is
 * said at most once.
 */
import { type Msg, type NatsConnection, nanos } from "@nats-io/transport-node";
import { CovoteError } from "../core/errors.js";
import { createLazySignal } from "../core/lazy-signal.js";
import type { WorkItem } from "./bus.js";
import { traceparentHeader } from "./core-messages.js";
import type { DeadLetter } from "./dead-letters.js";
import { messageIdHeader } from "./enqueue.js";
import type { QueueName } from "./queues.js";

export interface Delivery {
  readonly item: WorkItem;
  readonly deliveryCount: number;
  /** The last word has been said. */
  readonly settled: boolean;
  /** The server has given it to somebody else. */
  readonly lost: boolean;
  /** When the server last heard that it is in hand (monotonic). */
  readonly leasedAtMs: number;
  working(nowMs: number): void;
  acknowledge(): void;
  /** Resolves when the server has it; a lost word means a redelivery, and is no error. */
  acknowledgeSurely(timeoutMs: number): Promise<void>;
  /** To be delivered again, after a pause. */
  giveBack(pauseMs?: number): void;
  /** Never to be delivered again. */
  terminate(): void;
  lose(): void;
  abort(reason: unknown): void;
  letter(): Omit<DeadLetter, "reason">;
}

const encoder = new TextEncoder();
const ack = encoder.encode("+ACK");
const nak = encoder.encode("-NAK");
const progress = encoder.encode("+WPI");
// Without a reason: nats-server 2.9 compares exactly and would ignore a longer word.
const term = encoder.encode("+TERM");

export function openDelivery(nc: NatsConnection, queue: QueueName, msg: Msg, nowMs: number): Delivery {
  return new PulledItem(nc, queue, msg, nowMs);
}

/** The item and its delivery in one: there is one for every item in hand. */
class PulledItem implements Delivery, WorkItem {
  readonly queue: QueueName;
  readonly deliveryCount: number;
  settled = false;
  lost = false;
  leasedAtMs: number;
  readonly #nc: NatsConnection;
  readonly #msg: Msg;
  readonly #sequence: number;
  readonly #life = createLazySignal();

  constructor(nc: NatsConnection, queue: QueueName, msg: Msg, nowMs: number) {
    const { deliveryCount, sequence } = parseAckSubject(msg.reply ?? "");
    this.queue = queue;
    this.deliveryCount = deliveryCount;
    this.leasedAtMs = nowMs;
    this.#nc = nc;
    this.#msg = msg;
    this.#sequence = sequence;
  }

  get item(): WorkItem {
    return this;
  }

  get data(): Uint8Array {
    return this.#msg.data;
  }

  get subject(): string {
    return this.#msg.subject;
  }

  get enqueuedAtMs(): number {
    return parseAckSubject(this.#msg.reply ?? "").enqueuedAtMs;
  }

  get id(): string {
    // An item that others put there without an id is known by its place in the stream.
    return this.#header(messageIdHeader) ?? `${this.queue}-${this.#sequence}`;
  }

  get traceparent(): string | undefined {
    return this.#header(traceparentHeader);
  }

  get signal(): AbortSignal {
    return this.#life.signal;
  }

  working(nowMs: number): void {
    if (this.settled || this.#nc.isClosed()) return;
    this.leasedAtMs = nowMs;
    this.#msg.respond(progress);
  }

  acknowledge(): void {
    this.#say(ack);
  }

  async acknowledgeSurely(timeout: number): Promise<void> {
    const { reply } = this.#msg;
    if (this.settled || this.#nc.isClosed() || reply === undefined) return;
    this.settled = true;
    await this.#nc.request(reply, ack, { timeout }).catch(() => undefined);
  }

  giveBack(pauseMs = 0): void {
    const later = (): Uint8Array =>
      encoder.encode(`-NAK ${JSON.stringify({ delay: nanos(Math.ceil(pauseMs)) })}`);
    this.#say(pauseMs > 0 ? later() : nak);
  }

  terminate(): void {
    this.#say(term);
  }

  lose(): void {
    this.lost = true;
    this.abort(new CovoteError("cancelled", `item ${this.id} was given to another worker`));
  }

  abort(reason: unknown): void {
    this.#life.abort(() => reason);
  }

  letter(): Omit<DeadLetter, "reason"> {
    return {
      queue: this.queue,
      id: this.id,
      subject: this.subject,
      sequence: this.#sequence,
      deliveryCount: this.deliveryCount,
      traceparent: this.traceparent,
      data: this.data,
    };
  }

  #say(word: Uint8Array): void {
    if (this.settled || this.#nc.isClosed()) return;
    this.settled = true;
    this.#msg.respond(word);
  }

  #header(name: string): string | undefined {
    return this.#msg.headers?.get(name) || undefined;
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer's>.<nanoseconds>.<pending>`, or, from newer servers,
 * `$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>.<sequence>.<consumer's>.<nanoseconds>.…`.
 */
function parseAckSubject(reply: string): { deliveryCount: number; sequence: number; enqueuedAtMs: number } {
  const tokens = reply.split(".");
  const at = tokens.length === 9 ? 4 : 6;
  return {
    deliveryCount: Number(tokens[at] ?? 1),
    sequence: Number(tokens[at + 1] ?? 0),
    enqueuedAtMs: Number(tokens[at + 3] ?? 0) / 1e6,
  };
}
