/**
 * The work queues, buckets and their bounds: what `ensureTopology` creates and what names mean.
 *
 * - Every queue is a JetStream work queue: bounded, `discard: new` (a full one refuses), explicit ack.
 * - A queue has one durable consumer per *channel*: a token of the subject. Channels never overlap, as work
 *   queues demand. `prompts` has one per role that samples, `ballots` has `hi` and `lo`; `experience` has one
 *   per learner, made when first asked for; `rollouts` has only `all`.
 */
import { invalid } from "../core/errors.js";
import { parseId } from "../core/ids.js";

/** What every message of a queue is bounded by. Numbers are per queue, over all processes. */
export interface QueueLimits {
  storage: "file" | "memory";
  /** Messages that may wait; one more is refused as `overloaded`. */
  maxMessages: number;
  /** Bytes that may wait. */
  maxBytes: number;
  /** Without `working()` for so long, an item is given to another worker. Milliseconds. */
  ackWaitMs: number;
  /** Deliveries before an item is a dead letter. */
  maxDeliver: number;
  /** Items in flight over all workers: at least replicas × concurrency, or new replicas starve. */
  maxAckPending: number;
  /** How long an id is remembered for dropping duplicates. Milliseconds. */
  duplicateWindowMs: number;
}

const minute = 60_000;
const mebibyte = 1024 * 1024;

const common = {
  storage: "file",
  maxMessages: 10_000,
  maxBytes: 128 * mebibyte,
  ackWaitMs: 5000,
  maxDeliver: 10,
  maxAckPending: 4096,
  duplicateWindowMs: 10 * minute,
} as const satisfies QueueLimits;

/** Defaults. `ballots` live in memory: the aggregator that owns a judgment sends lost ones again. */
export const defaultQueues = {
  prompts: { ...common },
  rollouts: { ...common },
  ballots: { ...common, storage: "memory", maxMessages: 100_000, duplicateWindowMs: 2 * minute },
  experience: { ...common },
} as const satisfies Record<string, QueueLimits>;

export type QueueName = keyof typeof defaultQueues;
export type QueueOverrides = { readonly [Q in QueueName]?: Partial<QueueLimits> };

export const queueNames = Object.keys(defaultQueues) as QueueName[];

/** Channels that exist from the start; `null`: made on demand, one per id. */
export const queueChannels = {
  prompts: ["policy", "grm"],
  rollouts: ["all"],
  ballots: ["hi", "lo"],
  experience: null,
} as const satisfies Record<QueueName, readonly string[] | null>;

/** The channel that a message without `subjectToken` goes to. */
export function channelOf(queue: QueueName, token: string | undefined): string {
  const fixed: readonly string[] | null = queueChannels[queue];
  if (fixed === null) return parseId(`${queue}.subjectToken`, token);
  if (token === undefined) return fixed[0] as string;
  if (!fixed.includes(token)) {
    throw invalid(
      `${queue}.subjectToken`,
      `must be one of ${fixed.join(", ")}, got ${JSON.stringify(token)}`,
    );
  }
  return token;
}

/** One ack wait for all queues. Processes that differ in it would change each other's consumers. */
export function withAckWait(ackWaitMs: number): QueueOverrides {
  return {
    prompts: { ackWaitMs },
    rollouts: { ackWaitMs },
    ballots: { ackWaitMs },
    experience: { ackWaitMs },
  };
}

/** The bounds of all queues with some of them replaced. */
export function queueLimits(overrides: QueueOverrides = {}): Record<QueueName, QueueLimits> {
  const merge = (queue: QueueName): QueueLimits => ({ ...defaultQueues[queue], ...overrides[queue] });
  return {
    prompts: merge("prompts"),
    rollouts: merge("rollouts"),
    ballots: merge("ballots"),
    experience: merge("experience"),
  };
}

/**
 * Key-value buckets. `ttlMs`: how long a value lives after its last change; 0: for ever. `whenFull`: a write is
 * refused as `overloaded`, or the values that were written first make room.
 */
export const buckets = {
  /** Which model version is current, per role. */
  versions: { ttlMs: 0, history: 5, maxBytes: 16 * mebibyte, whenFull: "refuse" },
  /** Everything behind a reward, by judgment id; also the answer to a request that is repeated. */
  judgments: { ttlMs: 24 * 60 * minute, history: 1, maxBytes: 512 * mebibyte, whenFull: "forget" },
  /** Sets of principles that were drawn apart, by the hash of what determines them. */
  principles: { ttlMs: 24 * 60 * minute, history: 1, maxBytes: 64 * mebibyte, whenFull: "forget" },
  /** Of co-scalers: what they remember, the last decisions, the votes that judgments are to get. */
  scaling: { ttlMs: 0, history: 1, maxBytes: 16 * mebibyte, whenFull: "refuse" },
} as const satisfies Record<string, BucketLimits>;

interface BucketLimits {
  ttlMs: number;
  history: number;
  maxBytes: number;
  whenFull: "refuse" | "forget";
}

export type BucketName = keyof typeof buckets;

/** Object-store buckets: files too large for a message. `ttlMs` as above; a full bucket refuses. */
export const objectBuckets = {
  weights: { ttlMs: 0, maxBytes: 1024 * mebibyte },
  /** Records of judgments that are too large for a key-value entry. */
  records: { ttlMs: buckets.judgments.ttlMs, maxBytes: 1024 * mebibyte },
} as const satisfies Record<string, { ttlMs: number; maxBytes: number }>;

export type ObjectBucketName = keyof typeof objectBuckets;
