/**
 * Makes what a cluster needs inside nats-server: the streams of the queues, their durable consumers, the
 * dead letters, and the stream that collects the server's word about exhausted deliveries.
 *
 * Idempotent and safe to run in several processes at once. Run again after a reconnect: a restarted server
 * has lost its memory streams. Uses nothing beyond nats-server 2.9.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { CovoteError } from "../core/errors.js";
import { fromNats, isMissing, jsCode } from "./nats-errors.js";
import { type QueueLimits, type QueueName, queueChannels, queueNames } from "./queues.js";
import type { Subjects } from "./subjects.js";

export interface Topology {
  readonly subjects: Subjects;
  readonly queues: Readonly<Record<QueueName, QueueLimits>>;
  /** Copies of each stream; more than one needs a NATS cluster. */
  readonly replicas: number;
}

const mebibyte = 1024 * 1024;
const day = 24 * 3600_000;
// Each waiting pull of each worker counts; the server's default of 512 is soon reached by many small workers.
const maxWaitingPulls = 8192;

/** When the stream of each queue was made: another time means another stream. */
export type CreationTimes = ReadonlyMap<QueueName, string>;

/** Creates or adjusts everything. */
export async function ensureTopology(jsm: JetStreamManager, topology: Topology): Promise<CreationTimes> {
  const times = new Map<QueueName, string>();
  const ensureQueue = async (queue: QueueName): Promise<void> => {
    times.set(queue, await ensureStream(jsm, queueStream(topology, queue)));
    const channels: readonly string[] = queueChannels[queue] ?? [];
    await Promise.all(channels.map((channel) => ensureChannel(jsm, topology, queue, channel)));
  };
  await Promise.all([
    ...queueNames.map(ensureQueue),
    ensureStream(jsm, deadLetterStream(topology)),
    ensureStream(jsm, exhaustedStream(topology)).then(() =>
      ensureConsumer(jsm, exhaustedStream(topology).name, exhaustedConsumer()),
    ),
  ]);
  return times;
}

/** Changes nothing; rejects while a queue is missing. */
export async function readCreationTimes(jsm: JetStreamManager, topology: Topology): Promise<CreationTimes> {
  const read = async (queue: QueueName): Promise<[QueueName, string]> => {
    const stream = topology.subjects.stream(queue);
    try {
      return [queue, String((await jsm.streams.info(stream)).created)];
    } catch (cause) {
      throw fromNats(`stream ${stream}`, cause);
    }
  };
  return new Map(await Promise.all(queueNames.map(read)));
}

/** The durable consumer of one channel of a queue. */
export async function ensureChannel(
  jsm: JetStreamManager,
  topology: Topology,
  queue: QueueName,
  channel: string,
): Promise<void> {
  const limits = topology.queues[queue];
  await ensureConsumer(jsm, topology.subjects.stream(queue), {
    durable_name: channel,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(limits.ackWaitMs),
    max_deliver: limits.maxDeliver,
    max_ack_pending: limits.maxAckPending,
    max_waiting: maxWaitingPulls,
    filter_subject: topology.subjects.queue(queue, channel),
  });
}

export const deadLetterStreamName = (subjects: Subjects): string => subjects.resource("dead");
export const exhaustedStreamName = (subjects: Subjects): string => subjects.resource("exhausted");
export const exhaustedConsumerName = "sweeper";

type NamedStream = Partial<StreamConfig> & { name: string };

function queueStream(topology: Topology, queue: QueueName): NamedStream {
  const limits = topology.queues[queue];
  return {
    name: topology.subjects.stream(queue),
    subjects: [topology.subjects.queueAll(queue)],
    retention: RetentionPolicy.Workqueue,
    storage: limits.storage === "memory" ? StorageType.Memory : StorageType.File,
    discard: DiscardPolicy.New,
    max_msgs: limits.maxMessages,
    max_bytes: limits.maxBytes,
    duplicate_window: nanos(limits.duplicateWindowMs),
    num_replicas: topology.replicas,
  };
}

/** Dead letters are kept a week; the oldest make room, since a new one is news. */
function deadLetterStream(topology: Topology): NamedStream {
  return {
    name: deadLetterStreamName(topology.subjects),
    subjects: [topology.subjects.deadLetters()],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_msgs: 100_000,
    max_bytes: 128 * mebibyte,
    max_age: nanos(7 * day),
    duplicate_window: nanos(3600_000),
    num_replicas: topology.replicas,
  };
}

/**
 * A message whose last delivery was not acknowledged (its worker died) stays in its work queue for ever and
 * counts nowhere. The server says so once, here; the sweeper of dead-letters.ts reads it.
 */
function exhaustedStream(topology: Topology): NamedStream {
  const advisory = (queue: QueueName): string =>
    `$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.${topology.subjects.stream(queue)}.*`;
  return {
    name: exhaustedStreamName(topology.subjects),
    subjects: queueNames.map(advisory),
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_msgs: 100_000,
    max_bytes: 32 * mebibyte,
    max_age: nanos(7 * day),
    num_replicas: topology.replicas,
  };
}

function exhaustedConsumer(): Partial<ConsumerConfig> & { durable_name: string } {
  return {
    durable_name: exhaustedConsumerName,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(10_000),
    max_deliver: -1,
    max_ack_pending: 256,
    max_waiting: maxWaitingPulls,
  };
}

/** When the stream was made, in the server's words. */
async function ensureStream(jsm: JetStreamManager, wanted: NamedStream): Promise<string> {
  try {
    const info = await jsm.streams.info(wanted.name);
    if (differs(info.config, wanted)) await jsm.streams.update(wanted.name, { ...info.config, ...wanted });
    return String(info.created);
  } catch (thrown) {
    if (!isMissing(thrown)) throw fromNats(`stream ${wanted.name}`, thrown);
  }
  try {
    return String((await jsm.streams.add(wanted)).created);
  } catch (thrown) {
    // Another process was faster, with bounds of its own.
    if (thrown instanceof JetStreamApiError && thrown.code === jsCode.streamNameInUse) {
      return String((await jsm.streams.info(wanted.name)).created);
    }
    const error = fromNats(`stream ${wanted.name}`, thrown);
    if (error.code !== "overloaded") throw error;
    throw new CovoteError(
      "failed_precondition",
      `stream ${wanted.name}: nats-server has not ${wanted.max_bytes} bytes of ${wanted.storage} left to reserve; ` +
        "raise max_mem or max_file of its JetStream, or lower maxBytes of the queue",
      { cause: thrown },
    );
  }
}

async function ensureConsumer(
  jsm: JetStreamManager,
  stream: string,
  wanted: Partial<ConsumerConfig> & { durable_name: string },
): Promise<void> {
  const what = `consumer ${wanted.durable_name} of ${stream}`;
  try {
    const info = await jsm.consumers.info(stream, wanted.durable_name);
    if (differs(info.config, wanted)) await jsm.consumers.update(stream, wanted.durable_name, wanted);
    return;
  } catch (thrown) {
    if (!isMissing(thrown)) throw fromNats(what, thrown);
  }
  try {
    await jsm.consumers.add(stream, wanted);
  } catch (thrown) {
    if (thrown instanceof JetStreamApiError && thrown.code === jsCode.consumerExists) return;
    throw fromNats(what, thrown);
  }
}

/** True when a wanted setting is not what the server has. */
function differs(have: object, wanted: object): boolean {
  const current = have as Record<string, unknown>;
  return Object.entries(wanted).some(
    ([key, value]) =>
      JSON.stringify(current[key]) !== JSON.stringify(value) && !(current[key] === undefined && value === -1),
  );
}
