/**
 * Putting items into a work queue: acknowledged by the server, once per id.
 *
 * A lost answer is asked for again with the same id until the deadline, so a duplicate is dropped by the
 * server and not queued twice. A full queue refuses at once: the caller knows best whether to wait.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { backoffMs } from "../core/backoff.js";
import type { Clock } from "../core/clock.js";
import { CovoteError, invalid } from "../core/errors.js";
import type { Random } from "../core/random.js";
import type { EnqueueOptions } from "./bus.js";
import { checkSize, traceparentHeader } from "./core-messages.js";
import type { Link } from "./link.js";
import { MessageHeaders } from "./message-headers.js";
import { fromNats } from "./nats-errors.js";
import { publishAcknowledged } from "./publish-acknowledged.js";

export const messageIdHeader = "Nats-Msg-Id";

export interface JetStreamPublisher {
  /** Publishes to a subject that a stream listens to. `what` names it in errors. */
  publish(
    what: string,
    subject: string,
    data: Uint8Array,
    opts: EnqueueOptions & { extraHeaders?: Record<string, string> },
  ): Promise<{ duplicate: boolean }>;
}

const defaultPatienceMs = 10_000;
const attemptMs = 5000;
const retryPause = { baseMs: 50, maxMs: 1000 };
const idPattern = /^[\x20-\x7e]{1,256}$/;

export interface PublisherOptions {
  nc: NatsConnection;
  clock: Clock;
  random: Random;
  link: Link;
  /** No stream listens to the subject: the server may have lost it. */
  streamMissing(): void;
}

export function createJetStreamPublisher(options: PublisherOptions): JetStreamPublisher {
  const { nc, clock, random, link } = options;

  const attempt = async (
    what: string,
    subject: string,
    data: Uint8Array,
    opts: EnqueueOptions & { extraHeaders?: Record<string, string> },
    timeoutMs: number,
  ): Promise<{ duplicate: boolean }> => {
    const head = new MessageHeaders().set(messageIdHeader, opts.id).set(traceparentHeader, opts.traceparent);
    if (opts.extraHeaders !== undefined) {
      for (const [name, value] of Object.entries(opts.extraHeaders)) head.set(name, value);
    }
    const untilMs = clock.now() + timeoutMs;
    if (!link.connected()) await link.whenConnected(what, timeoutMs, opts.signal);
    const timeout = Math.max(1, Math.ceil(untilMs - clock.now()));
    const stored = publishAcknowledged(nc, what, subject, data, { timeout, headers: head.forClient() });
    const { duplicate } = await link.unlessLost(what, stored);
    return { duplicate };
  };

  return {
    publish: async (what, subject, data, opts) => {
      if (!idPattern.test(opts.id)) {
        throw invalid(`${what}.id`, "must be 1 to 256 printable ASCII characters");
      }
      checkSize(nc, subject, data);
      const deadlineAtMs = opts.deadlineAtMs ?? clock.now() + defaultPatienceMs;
      for (let failures = 1; ; failures++) {
        const remainingMs = deadlineAtMs - clock.now();
        if (remainingMs <= 0) throw new CovoteError("deadline_exceeded", `${what}: no answer in time`);
        if (opts.signal?.aborted) throw new CovoteError("cancelled", `${what} was cancelled`);
        try {
          return await attempt(what, subject, data, opts, Math.ceil(Math.min(remainingMs, attemptMs)));
        } catch (thrown) {
          const error = fromNats(what, thrown);
          const lost = error.code === "deadline_exceeded" || error.code === "unavailable";
          if (error.code === "unavailable" && link.connected()) options.streamMissing();
          const pauseMs = backoffMs(failures, retryPause, random);
          if (!lost || nc.isClosed() || clock.now() + pauseMs >= deadlineAtMs) throw error;
          await clock.sleep(pauseMs, opts.signal === undefined ? {} : { signal: opts.signal });
        }
      }
    },
  };
}
