/**
 * Pulls messages of one durable consumer: exactly as many as were asked for, and no more.
 *
 * The client library's `consume()` fetches ahead of what is being handled; items would wait (and run into
 * their ack-wait) in a busy worker while others idle. Here each pull asks for the number of free slots.
 *
 * - Survives reconnects and lost consumers: it starts over with a new reply subject, and what was on its
 *   way to the old one is redelivered by the server.
 * - Counts what it has asked for and not received; when in doubt it counts too little, so it may ask for a
 *   few too many but never waits for something that will not come.
 */
import {
  createInbox,
  type Msg,
  type NatsConnection,
  nanos,
  type Subscription,
} from "@nats-io/transport-node";
import { backoffMs } from "../core/backoff.js";
import type { Clock, Timer } from "../core/clock.js";
import type { Random } from "../core/random.js";

export interface PullSource {
  /** Asks for `count` more messages. */
  pull(count: number): void;
  /** Asked for and not received. */
  outstanding(): number;
  /** The connection is back: whatever was asked for is forgotten by the server. */
  restart(): void;
  /** Asks no more; messages on their way still arrive until it resolves. */
  drain(): Promise<void>;
  close(): void;
}

export interface PullSourceOptions {
  nc: NatsConnection;
  clock: Clock;
  random: Random;
  stream: string;
  consumer: string;
  inboxPrefix: string | undefined;
  /** Makes the consumer if it is missing. Rejects while the stream is missing. */
  ensure(): Promise<void>;
  received(msg: Msg): void;
  /** Outstanding has shrunk without a message: ask again. */
  starved(): void;
  failed(cause: unknown): void;
  /** The server forgets a pull after so long; it is then made again. Default 30 s. */
  expiresMs?: number;
}

const defaultExpiresMs = 30_000;
/** Heartbeats of the server per life of a pull; silence for two and a half of them means that it is dead. */
const heartbeats = 6;
const ensurePause = { baseMs: 50, maxMs: 2000 };

export function createPullSource(opts: PullSourceOptions): PullSource {
  const { nc, clock, random } = opts;
  const subject = `$JS.API.CONSUMER.MSG.NEXT.${opts.stream}.${opts.consumer}`;
  const encoder = new TextEncoder();
  const expiresMs = opts.expiresMs ?? defaultExpiresMs;
  const heartbeatMs = expiresMs / heartbeats;
  const silenceMs = 2.5 * heartbeatMs;
  const expires = nanos(expiresMs);
  const idle_heartbeat = nanos(heartbeatMs);
  let inbox = "";
  let sub: Subscription | undefined;
  let outstanding = 0;
  let heardAtMs = clock.monotonic();
  let state: "recovering" | "open" | "draining" | "closed" = "recovering";
  let recovery = 0;
  /** Pulls refused since the last message: the server is not what it was. */
  let refusals = 0;
  let retry: Timer | undefined;

  const open = (): void => {
    const previous = sub;
    inbox = createInbox(opts.inboxPrefix);
    const own = inbox;
    sub = nc.subscribe(own, {
      callback: (error, msg) => {
        if (error) return opts.failed(error);
        if (msg.subject === own) {
          if (own === inbox) onStatus(msg);
          return;
        }
        heardAtMs = clock.monotonic();
        refusals = 0;
        if (own === inbox && outstanding > 0) outstanding--;
        opts.received(msg);
      },
    });
    // Closing the old one after the new one is there: a message that is already on its way is not lost.
    previous?.drain().catch(opts.failed);
    outstanding = 0;
    heardAtMs = clock.monotonic();
  };

  const onStatus = (msg: Msg): void => {
    heardAtMs = clock.monotonic();
    const head = msg.headers;
    const code = head?.code ?? 0;
    if (code === 100) return;
    const completed = code === 409 && head?.description.toLowerCase() === "batch completed";
    if (completed) return;
    const left = Number(head?.get("Nats-Pending-Messages"));
    // 404 no messages, 408 expired, 409 with a remainder: this pull has ended and says what it still owed.
    if (left > 0 || code === 404 || code === 408) {
      outstanding = left > 0 ? Math.max(0, outstanding - left) : 0;
      if (state === "open") opts.starved();
      return;
    }
    // 409 consumer deleted / leadership change / server shutdown / too many pulls, 503 nobody there.
    refusals++;
    recover(backoffMs(refusals, ensurePause, random));
  };

  const recover = (pauseMs = 0): void => {
    if (state === "draining" || state === "closed") return;
    state = "recovering";
    outstanding = 0;
    retry?.cancel();
    recovery++;
    if (pauseMs === 0) void attempt(recovery, 1);
    else retry = clock.after(pauseMs, () => void attempt(recovery, 1));
  };

  const attempt = async (mine: number, failures: number): Promise<void> => {
    const current = (): boolean => mine === recovery && state === "recovering" && !nc.isClosed();
    if (!current()) return;
    try {
      await opts.ensure();
      if (!current()) return;
      open();
      state = "open";
      opts.starved();
    } catch (cause) {
      if (!current()) return;
      if (failures === 5) opts.failed(cause);
      retry = clock.after(backoffMs(failures, ensurePause, random), () => {
        void attempt(mine, failures + 1);
      });
    }
  };

  const watchdog = clock.every(
    heartbeatMs,
    () => {
      if (state === "open" && outstanding > 0 && clock.monotonic() - heardAtMs > silenceMs) recover();
    },
    { background: true },
  );

  const close = (): void => {
    if (state === "closed") return;
    state = "closed";
    watchdog.cancel();
    retry?.cancel();
    if (sub !== undefined && !sub.isClosed() && !nc.isClosed()) sub.unsubscribe();
  };

  recover();
  return {
    pull: (batch) => {
      if (state !== "open" || batch <= 0 || nc.isClosed()) return;
      if (outstanding === 0) heardAtMs = clock.monotonic();
      outstanding += batch;
      nc.publish(subject, encoder.encode(JSON.stringify({ batch, expires, idle_heartbeat })), {
        reply: inbox,
      });
    },
    outstanding: () => (state === "open" ? outstanding : Number.POSITIVE_INFINITY),
    restart: () => recover(),
    drain: async () => {
      if (state === "closed") return;
      state = "draining";
      watchdog.cancel();
      retry?.cancel();
      if (sub !== undefined && !sub.isClosed() && !nc.isClosed()) await sub.drain();
      close();
    },
    close,
  };
}
