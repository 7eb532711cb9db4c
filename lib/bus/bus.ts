/**
 * The bus: everything that leaves a process goes through it. NATS below, but no NATS type shows.
 *
 * - `publish`/`subscribe`/`request`/`respond`: at most once, no storage.
 * - `enqueue`/`work`: at least once. An item is acknowledged only when its handler has resolved; ids drop
 *   duplicates at the door, and handlers must be idempotent by id all the same (the memory of ids is bounded
 *   in time).
 * - Every queue is bounded; a full one refuses with `overloaded`.
 * - Errors are `CovoteError`; a handler's error never ends the process: it is an event, and an answer where
 *   somebody waits for one.
 *
 * `openBus` in open-bus.ts connects one.
 */
import type { BucketName, ObjectBucketName, QueueName } from "./queues.js";
import type { Subjects } from "./subjects.js";

export interface MessageMeta {
  readonly subject: string;
  readonly traceparent: string | undefined;
  readonly reply: string | undefined;
  /** When the requester stops waiting: milliseconds since the epoch. */
  readonly deadlineAtMs: number | undefined;
}

export interface Subscription {
  readonly subject: string;
  /** No new messages; those already here are still handled. */
  drain(): Promise<void>;
  /** Stops at once. */
  close(): void;
}

export interface PublishOptions {
  traceparent?: string;
  /** Where answers go, for questions that many may answer. */
  reply?: string;
}

export interface RequestOptions {
  timeoutMs: number;
  signal?: AbortSignal;
  traceparent?: string;
}

export interface RespondOptions {
  /** Members of a queue group share the requests. */
  queue?: string;
  /** Requests handled at a time; default 64. */
  concurrency?: number;
  /** Requests that may wait behind those; default 1024. One more is answered with `overloaded`. */
  backlog?: number;
}

export interface EnqueueOptions {
  /** Drops duplicates; also what a dead letter is known by. Any printable text up to 256 characters. */
  id: string;
  traceparent?: string;
  /** The channel: `hi` | `lo` for ballots (default `hi`), the learner's id for experience (required). */
  subjectToken?: string;
  /** Milliseconds since the epoch until which a lost answer is asked for again. Default: 10 s from now. */
  deadlineAtMs?: number;
  signal?: AbortSignal;
}

export interface WorkOptions {
  /** Items handled at a time. Nothing is fetched beyond it, so no item waits in a busy worker. */
  concurrency: number;
  /** The channel; default: all fixed ones (`hi` first, `lo` not starved). Required for experience. */
  subjectToken?: string;
  /**
   * Wait for the server's word that it has the acknowledgement before the slot is free: a redelivery after
   * success becomes rare. Costs one round trip an item. Default false.
   */
  ackAck?: boolean;
}

export interface WorkItem {
  readonly data: Uint8Array;
  /** The id that it was enqueued with. */
  readonly id: string;
  readonly queue: QueueName;
  readonly subject: string;
  /** 1 at the first delivery. */
  readonly deliveryCount: number;
  /** When the server took it in, by the server's clock. Milliseconds since the epoch. */
  readonly enqueuedAtMs: number;
  readonly traceparent?: string | undefined;
  /** Aborted when the loop is stopped hard or the item was given to somebody else. */
  readonly signal: AbortSignal;
}

export interface WorkLoop {
  /** Items whose handlers run. */
  inFlight(): number;
  /** Changes the number of items handled at a time; those in flight are finished. */
  resize(concurrency: number): void;
  /** Fetches no more, finishes what is accepted, gives the rest back at once. Idempotent. */
  drain(deadlineMs: number): Promise<void>;
  /** Aborts the handlers and gives their items back at once. */
  stop(): Promise<void>;
  readonly closed: Promise<void>;
}

export interface KeyValueEntry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Grows with every change of the bucket: a fencing token. */
  readonly revision: number;
}

/** A change of a key: its new value, or `value: null` when it was deleted or has expired. */
export interface KeyValueChange {
  readonly key: string;
  readonly value: Uint8Array | null;
  readonly revision: number;
}

/** Keys are one or more ids joined by `.`. */
export interface KeyValue {
  get(key: string): Promise<KeyValueEntry | null>;
  put(key: string, value: Uint8Array): Promise<number>;
  /** Fails with `already_exists` while the key lives. */
  create(key: string, value: Uint8Array): Promise<number>;
  /** Compare and set: fails with `failed_precondition` unless `revision` is the key's last. */
  update(key: string, value: Uint8Array, revision: number): Promise<number>;
  delete(key: string): Promise<void>;
  keys(prefix?: string): Promise<string[]>;
  /**
   * The values of now, then every change, until closed; survives reconnects. `filter` is a key or a
   * prefix followed by `.>`; default all keys. `ready` resolves when the values of now were handed over.
   */
  watch(
    filter: string | undefined,
    handler: (change: KeyValueChange) => void | Promise<void>,
  ): Promise<{ ready: Promise<void>; close(): void }>;
}

export interface ObjectInfo {
  readonly name: string;
  readonly size: number;
  /** SHA-256 of the bytes, hexadecimal. */
  readonly sha256: string;
}

/** Names are one or more ids joined by `.` or `/`. */
export interface ObjectStore {
  put(name: string, data: Uint8Array): Promise<ObjectInfo>;
  /** Fails with `not_found`, or with `internal` when the bytes are not what was put. */
  get(name: string, expect?: { sha256?: string }): Promise<Uint8Array>;
  info(name: string): Promise<ObjectInfo | null>;
  delete(name: string): Promise<void>;
}

export type BusEvent =
  | { type: "disconnect"; server: string }
  | { type: "reconnect"; server: string }
  | { type: "closed"; cause?: unknown }
  | { type: "handler-error"; subject: string; cause: unknown }
  | { type: "redelivery"; queue: QueueName; id: string; deliveryCount: number }
  | { type: "dead-letter"; queue: QueueName; id: string; reason: string; deliveryCount: number }
  | { type: "lease-lost"; queue: QueueName; id: string }
  | { type: "overloaded"; subject: string }
  | { type: "slow-consumer"; subject: string; pending: number }
  /** A queue was made anew after the server lost it: its items are gone, their owners send them again. */
  | { type: "queue-recreated"; queue: QueueName }
  | { type: "error"; cause: unknown };

export interface BusEvents {
  /** Called for each event; returns the way to stop. A listener that throws is dropped. */
  subscribe(listener: (event: BusEvent) => void): () => void;
}

export interface QueueStatus {
  readonly queue: QueueName;
  readonly stream: string;
  /** Waiting to be delivered. */
  readonly pending: number;
  /** Delivered and not yet acknowledged. */
  readonly inFlight: number;
  readonly redelivered: number;
  readonly deadLetters: number;
  /** All that the stream holds. */
  readonly messages: number;
  readonly bytes: number;
  /**
   * Held, but neither waiting for a consumer nor in flight: what an exhausted delivery left, or what is in a channel
   * that nobody works on. Read in two steps, so a busy queue may show a few that are not.
   */
  readonly stranded: number;
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export interface Bus {
  readonly cluster: string;
  readonly subjects: Subjects;
  /** Id of this connection; unique among all processes. */
  readonly id: string;
  readonly events: BusEvents;
  /**
   * Grows with every reconnect. What was published under an older epoch may be lost: whoever must not lose
   * it sends it again (under the same id) when the epoch has changed, and then flushes.
   */
  readonly epoch: number;

  publish(subject: string, data: Uint8Array, opts?: PublishOptions): void;
  subscribe(
    subject: string,
    opts: { queue?: string },
    handler: (data: Uint8Array, meta: MessageMeta) => void | Promise<void>,
  ): Subscription;
  request(subject: string, data: Uint8Array, opts: RequestOptions): Promise<Uint8Array>;
  respond(
    subject: string,
    opts: RespondOptions,
    handler: (data: Uint8Array, meta: MessageMeta) => Promise<Uint8Array>,
  ): Subscription;

  enqueue(queue: QueueName, data: Uint8Array, opts: EnqueueOptions): Promise<{ duplicate: boolean }>;
  /**
   * Handles items until drained. The handler's fate decides the item's: resolved: acknowledged; a retryable
   * CovoteError or `cancelled`: given back, to be redelivered after a growing jittered pause; any other error, or the last
   * delivery: dead letter.
   */
  work(queue: QueueName, opts: WorkOptions, handler: (item: WorkItem) => Promise<void>): WorkLoop;

  kv(bucket: BucketName): Promise<KeyValue>;
  objects(bucket: ObjectBucketName): Promise<ObjectStore>;

  /** Makes the channel of a queue, for whoever works on it without the right to make it. Needs that right itself. */
  ensureChannel(queue: QueueName, channel: string): Promise<void>;
  queueStatus(): Promise<QueueStatus[]>;
  /** Resolves when the server has everything published so far. */
  flush(): Promise<void>;
  status(): "connected" | "reconnecting" | "closed";
  /** Drains work loops and subscriptions, flushes, closes. */
  drain(deadlineMs: number): Promise<void>;
  /** Closes at once; work loops are stopped hard. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
