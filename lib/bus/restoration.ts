/**
 * Bringing back what a restarted nats-server has lost (its memory streams), and noticing it: whichever
 * process was first to make a queue anew, every bus tells its own process `queue-recreated`.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { backoffMs } from "../core/backoff.js";
import type { Clock } from "../core/clock.js";
import type { EventStream } from "../core/event-stream.js";
import type { Random } from "../core/random.js";
import type { BusEvent } from "./bus.js";
import type { Link } from "./link.js";
import type { QueueName } from "./queues.js";
import { type CreationTimes, ensureTopology, readCreationTimes, type Topology } from "./topology.js";

export interface Restoration {
  /** One try, shared by all who ask at the same time. Rejects while the server is not ready. */
  restore(): Promise<void>;
  /** Tries until it works or the connection is lost. */
  restoreEventually(): void;
  /** Waits for a try that is under way. */
  settled(): Promise<void>;
}

export interface RestorationOptions {
  jsm: JetStreamManager;
  topology: Topology;
  /** May create streams; otherwise it only looks. */
  owns: boolean;
  clock: Clock;
  random: Random;
  link: Link;
  events: EventStream<BusEvent>;
  /** When the queues were made, as known from the start. */
  known: CreationTimes;
}

const retryPause = { baseMs: 50, maxMs: 2000 };
const reportAfter = 5;

export function createRestoration(opts: RestorationOptions): Restoration {
  const { jsm, topology, clock, random, link, events } = opts;
  const known = new Map(opts.known);
  let trying: Promise<void> | undefined;

  const note = (times: CreationTimes): void => {
    for (const [queue, created] of times) {
      const before = known.get(queue);
      known.set(queue, created);
      if (before !== undefined && before !== created) announce(queue);
    }
  };
  const announce = (queue: QueueName): void => events.publish({ type: "queue-recreated", queue });

  const restore = (): Promise<void> => {
    const attempt = opts.owns ? ensureTopology : readCreationTimes;
    trying ??= attempt(jsm, topology)
      .then(note)
      .finally(() => {
        trying = undefined;
      });
    return trying;
  };
  const attempts = async (): Promise<void> => {
    const epoch = link.epoch();
    for (let failures = 1; link.connected() && link.epoch() === epoch; failures++) {
      try {
        await restore();
        return;
      } catch (cause) {
        if (failures === reportAfter) events.publish({ type: "error", cause });
        await clock.sleep(backoffMs(failures, retryPause, random));
      }
    }
  };
  return {
    restore,
    restoreEventually: () => {
      attempts().catch((cause: unknown) => events.publish({ type: "error", cause }));
    },
    settled: async () => {
      await trying?.catch(() => undefined);
    },
  };
}
