/** Connects a process to the bus. */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Clock, systemClock } from "../core/clock.js";
import { CovoteError, invalid } from "../core/errors.js";
import { createEventStream } from "../core/event-stream.js";
import { newId, parseId } from "../core/ids.js";
import type { Random } from "../core/random.js";
import type { Bus, BusEvent, KeyValue, ObjectStore, QueueStatus, Subscription, WorkLoop } from "./bus.js";
import { type NatsCapabilities, natsCapabilities } from "./capabilities.js";
import { type ConnectionSettings, openConnection } from "./connection.js";
import { createCoreMessages } from "./core-messages.js";
import { createDeadLetterWriter, type DeadLetter, listDeadLetters, startSweeper } from "./dead-letters.js";
import { createJetStreamPublisher } from "./enqueue.js";
import { openKeyValue } from "./key-value.js";
import { createLink } from "./link.js";
import { fromNats } from "./nats-errors.js";
import { openObjectStore } from "./object-store.js";
import { awaitTopology, onceProvisioned, type Patience } from "./provisioning.js";
import { createPullSource } from "./pull-source.js";
import { readQueueStatus } from "./queue-status.js";
import {
  type BucketName,
  channelOf,
  type ObjectBucketName,
  type QueueName,
  type QueueOverrides,
  queueChannels,
  queueLimits,
} from "./queues.js";
import { createRestoration } from "./restoration.js";
import { createSubjects } from "./subjects.js";
import { type CreationTimes, ensureChannel, ensureTopology, type Topology } from "./topology.js";
import { createWorkLoop, type OwnedWorkLoop, type SourceHooks } from "./work-loop.js";

export interface BusOptions extends ConnectionSettings {
  cluster: string;
  /** Id of this connection; default a fresh one. */
  id?: string;
  random: Random;
  clock?: Clock;
  /**
   * `own`: creates streams, consumers and buckets, again when the server lost them, and sweeps stranded
   * items into the dead letters. `use`: expects them, for processes that may not create any.
   * Default `own`.
   */
  topology?: "own" | "use";
  /** With `use`: how long to wait until they exist; default 60 s. */
  provisionTimeoutMs?: number;
  queues?: QueueOverrides;
  /** Copies of each stream and bucket; more than 1 needs a NATS cluster. Default 1. */
  replicas?: number;
}

/** A bus with what only tools and tests need. */
export interface NatsBus extends Bus {
  readonly capabilities: NatsCapabilities;
  deadLetters(opts: { queue?: QueueName; limit: number }): Promise<DeadLetter[]>;
}

const defaultProvisionMs = 60_000;

export async function openBus(opts: BusOptions): Promise<NatsBus> {
  const { random } = opts;
  const clock = opts.clock ?? systemClock();
  const subjects = createSubjects(opts.cluster);
  const id = opts.id === undefined ? newId() : parseId("bus.id", opts.id);
  const replicas = opts.replicas ?? 1;
  const topology: Topology = { subjects, queues: queueLimits(opts.queues), replicas };
  const owns = (opts.topology ?? "own") === "own";

  const nc = await openConnection(opts, random);
  try {
    const capabilities = natsCapabilities(nc.info?.version ?? "0");
    const jsm = await openJetStream(nc, owns);
    const patience = { clock, random, timeoutMs: opts.provisionTimeoutMs ?? defaultProvisionMs };
    const known = owns ? await ensureTopology(jsm, topology) : await awaitTopology(jsm, topology, patience);
    return createNatsBus({
      nc,
      jsm,
      clock,
      random,
      subjects,
      topology,
      owns,
      id,
      capabilities,
      known,
      patience,
      opts,
    });
  } catch (cause) {
    await nc.close();
    throw fromNats("bus", cause);
  }
}

async function openJetStream(nc: NatsConnection, check: boolean): Promise<JetStreamManager> {
  try {
    return await jetstreamManager(nc, { checkAPI: check });
  } catch (cause) {
    throw new CovoteError(
      "failed_precondition",
      `nats-server at ${nc.getServer()} has no JetStream; start it with -js`,
      { cause },
    );
  }
}

interface Parts {
  nc: NatsConnection;
  jsm: JetStreamManager;
  clock: Clock;
  random: Random;
  subjects: Topology["subjects"];
  topology: Topology;
  owns: boolean;
  id: string;
  capabilities: NatsCapabilities;
  known: CreationTimes;
  patience: Patience;
  opts: BusOptions;
}

function createNatsBus(parts: Parts): NatsBus {
  const { nc, jsm, clock, random, subjects, topology, owns, id, capabilities } = parts;
  const { inboxPrefix } = parts.opts;
  const events = createEventStream<BusEvent>();
  const loops = new Set<OwnedWorkLoop>();
  const subscriptions = new Set<Subscription>();
  const stores = new Map<string, Promise<KeyValue | ObjectStore>>();
  let closing: Promise<void> | undefined;

  const link = createLink({
    ...{ nc, clock, events },
    reconnected: () => {
      if (owns || parts.known.size > 0) restoration.restoreEventually();
      for (const loop of loops) loop.reconnected();
    },
  });
  const restoration = createRestoration({
    jsm,
    topology,
    owns,
    clock,
    random,
    link,
    events,
    known: parts.known,
  });
  const core = createCoreMessages(nc, clock, link, events);
  const publisher = createJetStreamPublisher({
    ...{ nc, clock, random, link },
    streamMissing: () => {
      if (owns) restoration.restore().catch(failed);
    },
  });
  const deadLetters = createDeadLetterWriter(publisher, subjects, clock, events);
  const failed = (cause: unknown): void => {
    if (link.status() !== "closed") events.publish({ type: "error", cause });
  };
  const sweeper = owns
    ? startSweeper({ nc, jsm, subjects, clock, writer: deadLetters, inboxPrefix, failed })
    : undefined;

  const openSource = (queue: QueueName, channel: string, hooks: SourceHooks) =>
    createPullSource({
      ...{ nc, clock, random, inboxPrefix, failed, ...hooks },
      stream: subjects.stream(queue),
      consumer: channel,
      ensure: async () => {
        await restoration.settled();
        if (!owns) return checkConsumer(jsm, subjects.stream(queue), channel);
        try {
          await ensureChannel(jsm, topology, queue, channel);
        } catch {
          // The stream itself is gone.
          await restoration.restore();
          await ensureChannel(jsm, topology, queue, channel);
        }
      },
    });

  const work: Bus["work"] = (queue, { concurrency, subjectToken, ackAck }, handler) => {
    if (!(Number.isInteger(concurrency) && concurrency >= 1)) {
      throw invalid("concurrency", `must be an integer of at least 1, got ${concurrency}`);
    }
    refuseWhenClosed();
    const fixed = subjectToken === undefined ? queueChannels[queue] : null;
    const channels = fixed ?? [channelOf(queue, subjectToken)];
    const loop = createWorkLoop({
      ...{ nc, clock, random, events, deadLetters, queue, concurrency, handler },
      limits: topology.queues[queue],
      ackAck: ackAck ?? false,
      connected: link.connected,
      sources: channels.map((channel) => (hooks: SourceHooks) => openSource(queue, channel, hooks)),
    });
    loops.add(loop);
    void loop.closed.then(() => loops.delete(loop));
    return loop satisfies WorkLoop;
  };

  const track = (subscription: Subscription): Subscription => {
    subscriptions.add(subscription);
    const forget = (): void => void subscriptions.delete(subscription);
    return {
      subject: subscription.subject,
      drain: () => subscription.drain().finally(forget),
      close: () => {
        subscription.close();
        forget();
      },
    };
  };
  let flushing: Promise<void> | undefined;
  const refuseWhenClosed = (): void => {
    if (closing !== undefined || link.status() === "closed")
      throw new CovoteError("unavailable", "the bus is closed");
  };

  const once = <T extends KeyValue | ObjectStore>(key: string, open: () => Promise<T>): Promise<T> => {
    const known = stores.get(key) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const opened = owns ? open() : onceProvisioned(open, parts.patience);
    stores.set(key, opened);
    opened.catch(() => stores.delete(key));
    return opened;
  };

  const end = async (): Promise<void> => {
    sweeper?.close();
    await Promise.all([...loops].map((loop) => loop.stop()));
    for (const subscription of subscriptions) subscription.close();
    await nc.close();
  };
  const close = (): Promise<void> => {
    closing ??= end();
    return closing;
  };
  const drain = async (deadlineMs: number): Promise<void> => {
    const untilMs = clock.now() + deadlineMs;
    // Loops first: what they still handle may need the messages that subscriptions bring.
    const drainAll = async (): Promise<void> => {
      await Promise.all([...loops].map((loop) => loop.drain(deadlineMs)));
      await Promise.all([...subscriptions].map((subscription) => subscription.drain().catch(failed)));
    };
    const drained = drainAll();
    const timer = new AbortController();
    await Promise.race([drained, clock.sleep(deadlineMs, { signal: timer.signal }).catch(() => undefined)]);
    timer.abort();
    if (link.connected() && clock.now() < untilMs) await nc.flush().catch(failed);
    await close();
  };

  return {
    cluster: parts.opts.cluster,
    subjects,
    id,
    events,
    capabilities,
    get epoch() {
      return link.epoch();
    },
    publish: core.publish,
    request: core.request,
    subscribe: (subject, subOpts, handler) => {
      refuseWhenClosed();
      return track(core.subscribe(subject, subOpts, handler));
    },
    respond: (subject, respondOpts, handler) => {
      refuseWhenClosed();
      return track(core.respond(subject, respondOpts, handler));
    },
    enqueue: async (queue, data, enqueueOpts) => {
      const subject = subjects.queue(queue, channelOf(queue, enqueueOpts.subjectToken));
      return publisher.publish(`queue ${queue}`, subject, data, enqueueOpts);
    },
    work,
    kv: (bucket: BucketName) =>
      once(`kv.${bucket}`, () =>
        openKeyValue({ nc, subjects, bucket, create: owns, replicas: topology.replicas, failed }),
      ),
    objects: (bucket: ObjectBucketName) =>
      once(`obj.${bucket}`, () =>
        openObjectStore({ nc, clock, subjects, bucket, create: owns, replicas: topology.replicas }),
      ),
    ensureChannel: (queue, channel) => ensureChannel(jsm, topology, queue, channel),
    queueStatus: (): Promise<QueueStatus[]> => readQueueStatus(jsm, subjects),
    deadLetters: (listOpts) => listDeadLetters(jsm, subjects, listOpts),
    flush: () => {
      // Those who ask in one turn of the event loop share a round trip that starts after all they published.
      flushing ??= nextTurn().then(async () => {
        flushing = undefined;
        try {
          await nc.flush();
        } catch (cause) {
          throw fromNats("flush", cause);
        }
      });
      return flushing;
    },
    status: link.status,
    drain,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function checkConsumer(jsm: JetStreamManager, stream: string, consumer: string): Promise<void> {
  try {
    await jsm.consumers.info(stream, consumer);
  } catch (cause) {
    throw fromNats(`consumer ${consumer} of ${stream}`, cause);
  }
}
