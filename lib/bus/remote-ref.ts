/**
 * Refs to actors of other processes: a name is a NATS subject.
 *
 * - `tell` is at most once, like every NATS message: what must not be lost goes through a queue.
 * - `ask` rejects with `unavailable` when no process has the actor, with the actor's own error when it
 *   fails, with `deadline_exceeded` at the deadline, which the other side is told.
 * - Several processes may expose the same name: they share its messages.
 */
import type { ActorRef, AskOptions, Reply } from "../actor/actor.js";
import type { Clock } from "../core/clock.js";
import type { Bus, Subscription } from "./bus.js";

export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(data: Uint8Array): T;
}

/** What an actor understands over the wire, and what it answers. */
export interface RemoteProtocol<M, A> {
  readonly message: Codec<M>;
  readonly answer: Codec<A>;
}

export interface RemoteRef<M, A> {
  readonly path: string;
  tell(message: M): void;
  ask(message: M, opts: AskOptions): Promise<A>;
}

export function remoteRef<M, A>(
  bus: Bus,
  clock: Clock,
  name: string,
  protocol: RemoteProtocol<M, A>,
): RemoteRef<M, A> {
  const subject = bus.subjects.actor(name);
  return {
    path: subject,
    tell: (message) => bus.publish(subject, protocol.message.encode(message)),
    ask: async (message, { deadlineAtMs, signal }) => {
      const data = await bus.request(subject, protocol.message.encode(message), {
        timeoutMs: Math.min(deadlineAtMs - clock.now(), longestWaitMs),
        ...(signal === undefined ? {} : { signal }),
      });
      return protocol.answer.decode(data);
    },
  };
}

/**
 * Makes a local actor reachable under the name. `toLocal` builds the actor's own message; `reply` is
 * undefined for a `tell`.
 */
export function exposeActor<L, M, A>(
  bus: Bus,
  clock: Clock,
  name: string,
  protocol: RemoteProtocol<M, A>,
  ref: ActorRef<L>,
  toLocal: (message: M, reply: Reply<A> | undefined) => L,
): Subscription {
  return bus.respond(bus.subjects.actor(name), { queue: "actors" }, async (data, meta) => {
    const message = protocol.message.decode(data);
    if (meta.reply === undefined) {
      ref.tell(toLocal(message, undefined));
      return nothing;
    }
    const deadlineAtMs = meta.deadlineAtMs ?? clock.now() + longestWaitMs;
    const answer = await ref.ask<A>((reply) => toLocal(message, reply), { deadlineAtMs });
    return protocol.answer.encode(answer);
  });
}

const longestWaitMs = 3600_000;
const nothing = new Uint8Array(0);
