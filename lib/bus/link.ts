/**
 * The state of the connection, as everything on top of it needs it: whether it stands, how often it was made
 * anew, and an early end for whoever waits for an answer that can no longer come.
 */
import type { NatsConnection, Status } from "@nats-io/transport-node";
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import type { BusEvent } from "./bus.js";
import { fromNats } from "./nats-errors.js";

export interface Link {
  status(): "connected" | "reconnecting" | "closed";
  connected(): boolean;
  /** Grows with every reconnect. */
  epoch(): number;
  /** Resolves once connected; `unavailable` when closed or not connected within the time. */
  whenConnected(what: string, timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /** The answer, or `unavailable` as soon as the connection is lost: the answer would not find its way. */
  unlessLost<T>(what: string, answer: Promise<T>): Promise<T>;
}

export interface LinkOptions {
  nc: NatsConnection;
  clock: Clock;
  events: EventStream<BusEvent>;
  /** Called after each reconnect. */
  reconnected(): void;
}

export function createLink({ nc, clock, events, reconnected }: LinkOptions): Link {
  let status: "connected" | "reconnecting" | "closed" = "connected";
  let epoch = 0;
  // Sets, and not a shared promise: racing against a long-lived promise would keep every answer alive.
  const answers = new Set<() => void>();
  const waiters = new Set<() => void>();

  const wake = (callbacks: Set<() => void>): void => {
    for (const call of [...callbacks]) call();
  };
  const onStatus = (event: Status): void => {
    switch (event.type) {
      case "disconnect":
        if (status === "connected") status = "reconnecting";
        wake(answers);
        events.publish({ type: "disconnect", server: event.server });
        return;
      case "reconnect":
        status = "connected";
        epoch++;
        // What was sent meanwhile was dropped by the client.
        wake(answers);
        wake(waiters);
        events.publish({ type: "reconnect", server: event.server });
        reconnected();
        return;
      case "slowConsumer":
        events.publish({ type: "slow-consumer", subject: event.sub.getSubject(), pending: event.pending });
        return;
      case "error":
        events.publish({ type: "error", cause: fromNats("NATS", event.error) });
        return;
    }
  };
  const follow = async (): Promise<void> => {
    for await (const event of nc.status()) onStatus(event);
  };
  const end = async (): Promise<void> => {
    const cause = await nc.closed();
    status = "closed";
    wake(answers);
    wake(waiters);
    events.publish(cause === undefined ? { type: "closed" } : { type: "closed", cause });
  };
  const report = (cause: unknown): void => events.publish({ type: "error", cause });
  follow().catch(report);
  end().catch(report);

  const lost = (what: string): CovoteError =>
    new CovoteError(
      "unavailable",
      `${what}: the connection to NATS is ${status === "closed" ? "closed" : "lost"}`,
      {
        retryAfterMs: 1000,
      },
    );

  return {
    status: () => status,
    connected: () => status === "connected",
    epoch: () => epoch,
    whenConnected: async (what, timeoutMs, signal) => {
      if (status === "connected") return;
      if (status === "closed") throw lost(what);
      let wakeUp = (): void => {};
      const woken = new AbortController();
      const waiting = new Promise<void>((resolve) => {
        wakeUp = resolve;
      });
      waiters.add(wakeUp);
      signal?.addEventListener("abort", wakeUp, { once: true });
      const late = clock.sleep(timeoutMs, { signal: woken.signal }).catch(() => undefined);
      await Promise.race([waiting, late]);
      woken.abort();
      waiters.delete(wakeUp);
      signal?.removeEventListener("abort", wakeUp);
      if (signal?.aborted)
        throw new CovoteError("cancelled", `${what} was cancelled`, { cause: signal.reason });
      // Read again: the state has moved while we waited.
      if ((status as string) !== "connected") throw lost(what);
    },
    unlessLost: (what, answer) =>
      new Promise((resolve, reject) => {
        const leave = (): void => {
          answers.delete(leave);
          reject(lost(what));
        };
        answers.add(leave);
        answer.then(
          (value) => {
            answers.delete(leave);
            resolve(value);
          },
          (cause: unknown) => {
            answers.delete(leave);
            reject(cause);
          },
        );
      }),
  };
}
