/**
 * Actors of one process: what everybody who writes or calls one sees. `createActorSystem` in system.ts
 * makes the room they live in.
 *
 * - An actor handles one message at a time, in the order of arrival.
 * - Every message that `tell` accepted ends exactly once: handled, or a dead letter on the event stream.
 * - A failing actor is restarted, stopped or reported to its parent, as its supervision says; its factory
 *   builds a fresh state, the queued messages stay.
 * - Messages are plain data; there is no shared state but the refs.
 */

import type { BackoffOptions } from "../core/backoff.js";
import type { Clock } from "../core/clock.js";

/** The address of an actor. Valid for ever; after the actor's end, messages become dead letters. */
export interface ActorRef<M> {
  /** `/user/judgments/j1`: unique in its system. */
  readonly path: string;
  /** Puts a message into the mailbox; `overloaded` when it is full. */
  tell(message: M): void;
  /** `tell` without the throw: false when the mailbox is full. */
  offer(message: M): boolean;
  /**
   * Sends the message that `make` builds around `reply`, and resolves with what is replied first. Rejects
   * with what `reply.fail` was given, with `overloaded`, with `unavailable` when the message became a dead
   * letter, with `deadline_exceeded` at `deadlineAtMs`, with `cancelled` at the signal.
   */
  ask<R>(make: (reply: Reply<R>) => M, opts: AskOptions): Promise<R>;
}

export interface AskOptions {
  /** Milliseconds since the epoch. */
  deadlineAtMs: number;
  signal?: AbortSignal;
}

/** Where an answer goes; the first answer counts, later ones are ignored. */
export interface Reply<R> {
  send(answer: R): void;
  fail(cause: unknown): void;
}

/** What an actor does. The instance is its state: after a failure the factory makes another. */
export interface Behaviour<M> {
  receive(message: M): void | Promise<void>;
  /** Before the first message; a failure here counts as a failure of the actor. */
  started?(): void | Promise<void>;
  /** A new instance will follow: let go of what this one holds. */
  restarting?(cause: unknown): void | Promise<void>;
  /** The last word, after the last message. */
  stopped?(): void | Promise<void>;
}

export type BehaviourFactory<M> = (context: ActorContext<M>) => Behaviour<M>;

export interface ActorContext<M> {
  readonly self: ActorRef<M>;
  readonly clock: Clock;
  /** Aborted when the actor stops or restarts: pass it to whatever the actor waits for. */
  readonly signal: AbortSignal;
  spawn<C>(name: string, factory: BehaviourFactory<C>, opts?: ActorOptions): ActorRef<C>;
  /** Ends after the current message; what is queued becomes dead letters. */
  stop(): void;
  /** Ends a child; resolves when it has ended. Default mode `now`: what it has queued becomes dead letters. */
  stopChild(child: Pick<ActorRef<never>, "path">, mode?: "drain" | "now"): Promise<void>;
}

export interface ActorOptions {
  /** Messages that may wait; default 1024. */
  mailboxCapacity?: number;
  supervision?: Supervision;
}

export type Supervision =
  /** A fresh instance after a pause; more than `maxRestarts` within `windowMs` stops the actor. */
  | { on: "restart"; maxRestarts: number; windowMs: number; backoff: BackoffOptions }
  | { on: "stop" }
  /** The failure is treated as one of the parent. At the top it ends the system. */
  | { on: "escalate" };

export type ActorEvent =
  | { type: "started"; path: string }
  | { type: "failed"; path: string; cause: unknown }
  | { type: "restarted"; path: string; restarts: number; cause: unknown }
  | { type: "stopped"; path: string; cause?: unknown }
  | { type: "dead-letter"; path: string; message: unknown; reason: DeadLetterReason };

/** `stopped`: the actor had ended or ended before the message's turn; `failed`: its handling threw. */
export type DeadLetterReason = "stopped" | "failed";
