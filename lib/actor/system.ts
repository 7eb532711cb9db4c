/**
 * The actors of one process and the stream of what happens to them.
 *
 * - `spawn` makes an actor of the top level; everything below is spawned by actors through their context.
 * - `drain` lets actors handle what they have accepted, then stops them; at the deadline the rest is
 *   stopped with what is queued as dead letters. `close` does that at once. Both are idempotent, and wait
 *   no longer than `graceMs` more for a handler that does not heed its signal.
 */
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import { createEventStream, type EventSource } from "../core/event-stream.js";
import type { Random } from "../core/random.js";
import type { ActorEvent, ActorOptions, ActorRef, BehaviourFactory } from "./actor.js";
import { createPendingAsks } from "./ask.js";
import { createChildren } from "./cell.js";

export interface ActorSystem {
  readonly events: EventSource<ActorEvent>;
  readonly clock: Clock;
  /** `already_exists` while another actor of this name lives; `unavailable` when the system is closing. */
  spawn<M>(name: string, factory: BehaviourFactory<M>, opts?: ActorOptions): ActorRef<M>;
  /** Ends an actor of the top level, and its children first; resolves when it has ended. */
  stop(ref: Pick<ActorRef<never>, "path">, mode?: "drain" | "now"): Promise<void>;
  /** Actors of the top level that have not ended. */
  readonly size: number;
  drain(deadlineMs: number): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ActorSystemOptions {
  clock: Clock;
  /** For the jitter of restarts. */
  random: Random;
  /** A failure was escalated beyond the top level; the system is closing. */
  failed?(cause: unknown): void;
}

const root = "/user";
const graceMs = 2000;

export function createActorSystem(opts: ActorSystemOptions): ActorSystem {
  const { clock, random } = opts;
  const events = createEventStream<ActorEvent>();
  let closing = false;
  const children = createChildren({ clock, random, events, asks: createPendingAsks(clock) }, root, {
    childFailed: (cause) => {
      opts.failed?.(cause);
      void close();
    },
    childStopped: (name) => children.remove(name),
  });
  /** True when all have ended within the time. */
  const endedWithin = async (all: Promise<void>, ms: number): Promise<boolean> => {
    const timer = new AbortController();
    const late = clock.sleep(ms, { signal: timer.signal }).then(
      () => false,
      () => true,
    );
    const inTime = await Promise.race([all.then(() => true), late]);
    timer.abort();
    return inTime;
  };
  const close = async (): Promise<void> => {
    closing = true;
    await endedWithin(children.stopAll("now"), graceMs);
  };
  return {
    events,
    clock,
    get size() {
      return children.size;
    },
    spawn: (name, factory, actorOpts) => {
      if (closing) throw new CovoteError("unavailable", `actor ${root}/${name}: the system is closing`);
      return children.spawn(name, factory, actorOpts);
    },
    stop: async (ref, mode = "now") => {
      await children.get(ref.path.slice(root.length + 1))?.stop(mode);
    },
    drain: async (deadlineMs) => {
      closing = true;
      if (!(await endedWithin(children.stopAll("drain"), deadlineMs))) await close();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
