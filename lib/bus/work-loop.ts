/**
 * Work loop: handles the items of a queue, a bounded number at a time.
 *
 * - Fetches only for free slots. An item in hand is kept alive with `working()`, however long it takes.
 * - An item is acknowledged when its handler has resolved; see `Bus.work` for the other fates. Whatever
 *   happens to this process, an item that was not acknowledged is delivered again.
 * - With several channels the first has priority; the others get at least every fifth slot.
 */
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { backoffMs } from "../core/backoff.js";
import { type BoundedQueue, createBoundedQueue } from "../core/bounded-queue.js";
import type { Clock } from "../core/clock.js";
import { deadlineIn, withDeadline } from "../core/deadline.js";
import { deferred } from "../core/deferred.js";
import { CovoteError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import type { Random } from "../core/random.js";
import type { BusEvent, WorkItem, WorkLoop } from "./bus.js";
import type { DeadLetterWriter } from "./dead-letters.js";
import { type Delivery, openDelivery } from "./delivery.js";
import type { PullSource } from "./pull-source.js";
import type { QueueLimits, QueueName } from "./queues.js";

export interface WorkLoopOptions {
  nc: NatsConnection;
  clock: Clock;
  random: Random;
  events: EventStream<BusEvent>;
  deadLetters: DeadLetterWriter;
  queue: QueueName;
  limits: QueueLimits;
  concurrency: number;
  ackAck: boolean;
  connected(): boolean;
  /** One source per channel, in order of priority. */
  sources: readonly ((hooks: SourceHooks) => PullSource)[];
  handler(item: WorkItem): Promise<void>;
}

export interface SourceHooks {
  received(msg: Msg): void;
  starved(): void;
}

/** A work loop as its bus sees it. */
export interface OwnedWorkLoop extends WorkLoop {
  reconnected(): void;
}

interface Channel {
  readonly source: PullSource;
  readonly waiting: BoundedQueue<Delivery>;
  activeAtMs: number;
}

const retryPause = { baseMs: 100, maxMs: 10_000 };
/** A channel whose pulls have waited this long is taken to be empty, and the next one gets its turn. */
const quietMs = 2;
const fairShare = 5;
const maxWaiting = 65_536;
/** A server that hangs must not hold up a stop. */
const flushMs = 1000;

export function createWorkLoop(opts: WorkLoopOptions): OwnedWorkLoop {
  const { nc, clock, random, events, queue, limits, deadLetters } = opts;
  const inHand = new Set<Delivery>();
  const closed = deferred<void>();
  let idle = deferred<void>();
  let concurrency = opts.concurrency;
  let state: "running" | "draining" | "stopped" = "running";
  let pumpScheduled = false;
  let sinceLower = 0;

  const received = (index: number, msg: Msg): void => {
    const delivery = openDelivery(nc, queue, msg, clock.monotonic());
    const channel = channels[index] as Channel;
    channel.activeAtMs = clock.monotonic();
    if (state !== "running" || !channel.waiting.push(delivery)) {
      delivery.giveBack();
      return;
    }
    if (delivery.deliveryCount > 1) {
      events.publish({
        type: "redelivery",
        queue,
        id: delivery.item.id,
        deliveryCount: delivery.deliveryCount,
      });
    }
    fill();
  };

  /** Starts what waits here while there are slots. */
  const fill = (): void => {
    while (state === "running" && inHand.size < concurrency) {
      const next = takeWaiting();
      if (next === undefined) return;
      start(next);
    }
  };

  const takeWaiting = (): Delivery | undefined => {
    const order = sinceLower >= fairShare - 1 ? [...channels].reverse() : channels;
    for (const channel of order) {
      const next = channel.waiting.shift();
      if (next === undefined) continue;
      sinceLower = channel === channels[0] ? sinceLower + 1 : 0;
      return next;
    }
    return undefined;
  };

  const start = (delivery: Delivery): void => {
    inHand.add(delivery);
    let outcome: Promise<void>;
    try {
      outcome = opts.handler(delivery.item);
    } catch (thrown) {
      outcome = Promise.reject(thrown);
    }
    outcome
      .then(
        () => succeeded(delivery),
        (thrown: unknown) => failed(delivery, CovoteError.from(thrown)),
      )
      .then(
        () => finished(delivery),
        (cause: unknown) => {
          events.publish({ type: "error", cause });
          finished(delivery);
        },
      );
  };

  const finished = (delivery: Delivery): void => {
    inHand.delete(delivery);
    if (inHand.size === 0) idle.resolve();
    fill();
    schedulePump();
  };

  const succeeded = (delivery: Delivery): void | Promise<void> => {
    if (!opts.ackAck) return delivery.acknowledge();
    return delivery.acknowledgeSurely(limits.ackWaitMs);
  };

  const failed = async (delivery: Delivery, error: CovoteError): Promise<void> => {
    // Given back already: somebody else has it or will have it.
    if (delivery.settled || delivery.lost) return;
    events.publish({ type: "handler-error", subject: delivery.item.subject, cause: error });
    const last = delivery.deliveryCount >= limits.maxDeliver;
    const retry = error.retryable || error.code === "cancelled";
    if (retry && !last) {
      const pauseMs = backoffMs(delivery.deliveryCount, retryPause, random);
      return delivery.giveBack(Math.max(pauseMs, error.retryAfterMs ?? 0));
    }
    const reason = retry
      ? `delivered ${delivery.deliveryCount} times, at last: ${error.message}`
      : error.message;
    try {
      await deadLetters.write({ ...delivery.letter(), reason });
    } catch (cause) {
      events.publish({ type: "error", cause });
      // Without a last word the server delivers it again or, after the last delivery, tells the sweeper.
      if (!last) delivery.giveBack(backoffMs(delivery.deliveryCount, retryPause, random));
      return;
    }
    delivery.terminate();
  };

  const schedulePump = (): void => {
    if (pumpScheduled || state !== "running") return;
    pumpScheduled = true;
    // Items that finish in the same turn of the event loop share one pull.
    setImmediate(pump);
  };

  const pump = (): void => {
    pumpScheduled = false;
    if (state !== "running") return;
    const waiting = channels.reduce((sum, channel) => sum + channel.waiting.size, 0);
    const free = concurrency - inHand.size - waiting;
    if (free <= 0) return;
    let higherQuiet = true;
    for (const channel of channels) {
      const outstanding = channel.source.outstanding();
      const owed = sinceLower >= fairShare - 1 && outstanding === 0 ? 1 : 0;
      const want = higherQuiet ? free - outstanding : owed;
      if (want > 0) {
        channel.source.pull(want);
        // With pulls still unanswered the channel is known to be empty; asking for more changes nothing.
        if (outstanding === 0) channel.activeAtMs = clock.monotonic();
      }
      higherQuiet &&= clock.monotonic() - channel.activeAtMs >= quietMs;
    }
    const last = channels.at(-1) as Channel;
    if (!higherQuiet && channels.length > 1 && last.source.outstanding() < free) {
      clock.after(quietMs, schedulePump, { background: true });
    }
  };

  const beat = (): void => {
    const nowMs = clock.monotonic();
    const keep = (delivery: Delivery): void => {
      if (delivery.settled || delivery.lost) return;
      if (opts.connected()) delivery.working(nowMs);
      else if (nowMs - delivery.leasedAtMs > limits.ackWaitMs) {
        delivery.lose();
        events.publish({ type: "lease-lost", queue, id: delivery.item.id });
      }
    };
    for (const delivery of inHand) keep(delivery);
    for (const { waiting } of channels) waiting.forEach(keep);
  };
  const heart = clock.every(limits.ackWaitMs / 3, beat, { background: true });

  const releaseWaiting = (): void => {
    for (const { waiting } of channels) for (const delivery of waiting.clear()) delivery.giveBack();
  };

  const end = async (): Promise<void> => {
    heart.cancel();
    // The last words should be out before the owner goes on to close the connection.
    if (!nc.isClosed() && opts.connected()) {
      const what = `flush of ${queue}`;
      await withDeadline(deadlineIn(clock, flushMs), { what, clock }, () => nc.flush()).catch(
        () => undefined,
      );
    }
    closed.resolve();
  };

  const stop = async (): Promise<void> => {
    if (state === "stopped") return closed.promise;
    state = "stopped";
    for (const { source } of channels) source.close();
    releaseWaiting();
    for (const delivery of inHand) {
      delivery.giveBack();
      delivery.abort(new CovoteError("cancelled", `the work loop of ${queue} was stopped`));
    }
    await end();
  };

  const drain = async (deadlineMs: number): Promise<void> => {
    if (state !== "running") return closed.promise;
    state = "draining";
    releaseWaiting();
    const timer = clock.after(deadlineMs, () => void stop());
    const sourcesDrained = Promise.all(channels.map(({ source }) => source.drain()));
    sourcesDrained.catch((cause: unknown) => events.publish({ type: "error", cause }));
    idle = deferred<void>();
    if (inHand.size === 0) idle.resolve();
    await Promise.race([Promise.all([idle.promise, sourcesDrained.catch(() => undefined)]), closed.promise]);
    timer.cancel();
    if (state === "draining") {
      state = "stopped";
      await end();
    }
    return closed.promise;
  };

  // Sources report asynchronously: nothing arrives before the array is complete.
  const channels: readonly Channel[] = opts.sources.map((openSource, index) => ({
    source: openSource({ received: (msg) => received(index, msg), starved: schedulePump }),
    waiting: createBoundedQueue<Delivery>(maxWaiting),
    activeAtMs: Number.NEGATIVE_INFINITY,
  }));

  return {
    inFlight: () => inHand.size,
    resize: (size) => {
      concurrency = size;
      fill();
      schedulePump();
    },
    drain,
    stop,
    closed: closed.promise,
    reconnected: () => {
      for (const { source } of channels) source.restart();
    },
  };
}
