/**
 * Cell: one actor's life. It owns the mailbox, the current behaviour and the children, and moves between
 * its states in one place. It is its own mailbox's owner and its children's parent.
 */
import { backoffMs } from "../core/backoff.js";
import type { Clock, Timer } from "../core/clock.js";
import { deferred } from "../core/deferred.js";
import { CovoteError } from "../core/errors.js";
import type { EventStream } from "../core/event-stream.js";
import { createLazySignal, type LazySignal } from "../core/lazy-signal.js";
import type { Random } from "../core/random.js";
import type {
  ActorContext,
  ActorEvent,
  ActorOptions,
  ActorRef,
  AskOptions,
  Behaviour,
  BehaviourFactory,
  DeadLetterReason,
  Reply,
  Supervision,
} from "./actor.js";
import { full, type PendingAsks } from "./ask.js";
import { createMailbox, type Mailbox, type MailboxOptions } from "./mailbox.js";

/** What all actors of a system share. */
export interface CellEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventStream<ActorEvent>;
  readonly asks: PendingAsks;
}

/** How a cell looks from above: its parent knows it without its message type. */
export interface Cell {
  readonly path: string;
  stop(mode: "drain" | "now", cause?: unknown): Promise<void>;
}

export interface CellParent {
  /** A child escalated its failure. */
  childFailed(cause: unknown): void;
  childStopped(name: string): void;
}

type CellState = "starting" | "running" | "restarting" | "stopping" | "stopped";

const defaultCapacity = 1024;
const namePattern = /^[A-Za-z0-9_.:-]{1,256}$/;

export const defaultSupervision: Supervision = {
  on: "restart",
  maxRestarts: 5,
  windowMs: 60_000,
  backoff: { baseMs: 50, maxMs: 5000 },
};

/** The children of one parent, by name. */
export interface Children {
  spawn<C>(name: string, factory: BehaviourFactory<C>, opts?: ActorOptions): ActorRef<C>;
  get(name: string): Cell | undefined;
  stopAll(mode: "drain" | "now"): Promise<void>;
  remove(name: string): void;
  readonly size: number;
}

export function createChildren(env: CellEnvironment, path: string, parent: CellParent): Children {
  return new CellsByName(env, path, parent);
}

class CellsByName implements Children {
  readonly #env: CellEnvironment;
  readonly #path: string;
  readonly #parent: CellParent;
  readonly #cells = new Map<string, Cell>();

  constructor(env: CellEnvironment, path: string, parent: CellParent) {
    this.#env = env;
    this.#path = path;
    this.#parent = parent;
  }

  get size(): number {
    return this.#cells.size;
  }

  spawn<C>(name: string, factory: BehaviourFactory<C>, opts: ActorOptions = {}): ActorRef<C> {
    if (!namePattern.test(name)) {
      throw new CovoteError(
        "invalid_argument",
        `actor name ${JSON.stringify(name)}: use A-Z a-z 0-9 _ . : -`,
      );
    }
    const path = `${this.#path}/${name}`;
    if (this.#cells.has(name)) throw new CovoteError("already_exists", `actor ${path} already exists`);
    const cell = new ActorCell(this.#env, { path, name }, this.#parent, factory, opts);
    this.#cells.set(name, cell);
    cell.begin();
    return cell.ref;
  }

  get(name: string): Cell | undefined {
    return this.#cells.get(name);
  }

  async stopAll(mode: "drain" | "now"): Promise<void> {
    await Promise.all([...this.#cells.values()].map((cell) => cell.stop(mode)));
  }

  remove(name: string): void {
    this.#cells.delete(name);
  }
}

class ActorCell<M> implements Cell, CellParent, MailboxOptions<M> {
  readonly path: string;
  readonly capacity: number;
  readonly ref: ActorRef<M>;
  readonly #name: string;
  readonly #env: CellEnvironment;
  readonly #parent: CellParent;
  readonly #factory: BehaviourFactory<M>;
  readonly #supervision: Supervision;
  readonly #mailbox: Mailbox<M>;
  readonly #children: Children;
  readonly #ended = deferred<void>();
  readonly #restartsAtMs: number[] = [];
  #state: CellState = "starting";
  #restarts = 0;
  #failuresInARow = 0;
  #behaviour: Behaviour<M> | undefined;
  #life = createLazySignal();
  #pause: Timer | undefined;
  #begun: Promise<void> = Promise.resolve();
  #lastCause: unknown;

  constructor(
    env: CellEnvironment,
    { path, name }: { path: string; name: string },
    parent: CellParent,
    factory: BehaviourFactory<M>,
    opts: ActorOptions,
  ) {
    this.path = path;
    this.capacity = opts.mailboxCapacity ?? defaultCapacity;
    this.#name = name;
    this.#env = env;
    this.#parent = parent;
    this.#factory = factory;
    this.#supervision = opts.supervision ?? defaultSupervision;
    this.#mailbox = createMailbox(this);
    this.#children = createChildren(env, path, this);
    this.ref = new MailboxRef(path, this.#mailbox, env.asks);
  }

  begin(): void {
    this.#begun = this.#enter().catch((cause: unknown) => this.failed(cause));
  }

  async #enter(): Promise<void> {
    this.#life = createLazySignal();
    this.#behaviour = this.#factory(this.#context(this.#life));
    await this.#behaviour.started?.();
    if (this.#state === "stopping" || this.#state === "stopped") return;
    this.#state = "running";
    const { path } = this;
    const restarts = this.#restarts;
    this.#env.events.publish(
      restarts === 0
        ? { type: "started", path }
        : { type: "restarted", path, restarts, cause: this.#lastCause },
    );
    this.#mailbox.resume();
  }

  #context(own: LazySignal): ActorContext<M> {
    return {
      self: this.ref,
      clock: this.#env.clock,
      get signal() {
        return own.signal;
      },
      spawn: (name, factory, opts) => this.#children.spawn(name, factory, opts),
      stop: () => void this.stop("now"),
      stopChild: async (child, mode = "now") => {
        await this.#children.get(child.path.slice(this.path.length + 1))?.stop(mode);
      },
    };
  }

  /** For the mailbox. */
  handle(message: M): void | Promise<void> {
    return (this.#behaviour as Behaviour<M>).receive(message);
  }

  /** For the mailbox. */
  dead(message: M, reason: DeadLetterReason): void {
    const why = reason === "stopped" ? "has stopped" : "failed on the message";
    this.#env.asks.abandon(message, new CovoteError("unavailable", `actor ${this.path} ${why}`));
    this.#env.events.publish({ type: "dead-letter", path: this.path, message, reason });
  }

  failed(cause: unknown): void {
    if (this.#state === "stopping" || this.#state === "stopped" || this.#state === "restarting") return;
    this.#lastCause = cause;
    this.#mailbox.pause();
    this.#report(cause);
    const supervision = this.#supervision;
    if (supervision.on === "restart") this.#background(this.#restart(cause, supervision));
    else {
      if (supervision.on === "escalate") this.#parent.childFailed(cause);
      this.#background(this.stop("now", cause));
    }
  }

  childFailed(cause: unknown): void {
    this.failed(cause);
  }

  childStopped(name: string): void {
    this.#children.remove(name);
  }

  async #restart(cause: unknown, policy: Extract<Supervision, { on: "restart" }>): Promise<void> {
    const { clock, random } = this.#env;
    const restartsAtMs = this.#restartsAtMs;
    this.#state = "restarting";
    const nowMs = clock.monotonic();
    while (restartsAtMs.length > 0 && nowMs - (restartsAtMs[0] as number) > policy.windowMs)
      restartsAtMs.shift();
    if (restartsAtMs.length === 0) this.#failuresInARow = 0;
    this.#life.abort(() => cause);
    await this.#hook(() => this.#behaviour?.restarting?.(cause));
    await this.#children.stopAll("now");
    if (!this.#restarting()) return;
    if (restartsAtMs.length >= policy.maxRestarts) return this.stop("now", cause);
    restartsAtMs.push(nowMs);
    this.#restarts++;
    this.#failuresInARow++;
    this.#pause = clock.after(backoffMs(this.#failuresInARow, policy.backoff, random), () => {
      if (!this.#restarting()) return;
      this.#state = "starting";
      this.begin();
    });
  }

  #restarting(): boolean {
    return this.#state === "restarting";
  }

  stop(mode: "drain" | "now", cause?: unknown): Promise<void> {
    if (this.#state === "stopping" || this.#state === "stopped") {
      if (mode === "now") this.#mailbox.close("now");
      return this.#ended.promise;
    }
    // A failed actor has nobody to handle what is queued.
    const effective = this.#state === "restarting" ? "now" : mode;
    if (effective === "now") this.#state = "stopping";
    this.#pause?.cancel();
    this.#mailbox.close(effective);
    this.#background(this.#end(effective, cause));
    return this.#ended.promise;
  }

  async #end(mode: "drain" | "now", cause: unknown): Promise<void> {
    const { path } = this;
    if (mode === "now") {
      this.#life.abort(() => cause ?? new CovoteError("cancelled", `actor ${path} is stopping`));
    }
    await this.#mailbox.closed;
    await this.#begun;
    if (this.#state === "stopped") return;
    this.#state = "stopped";
    if (this.#children.size > 0) await this.#children.stopAll(mode);
    this.#life.abort(() => cause ?? new CovoteError("cancelled", `actor ${path} has stopped`));
    await this.#hook(() => this.#behaviour?.stopped?.());
    this.#behaviour = undefined;
    this.#parent.childStopped(this.#name);
    this.#env.events.publish({ type: "stopped", path, ...(cause === undefined ? {} : { cause }) });
    this.#ended.resolve();
  }

  /** A hook's failure is an event; life goes on to the next step. */
  async #hook(call: () => void | Promise<void> | undefined): Promise<void> {
    try {
      await call();
    } catch (cause) {
      this.#report(cause);
    }
  }

  /** Nobody can await what an actor does to itself; whatever goes wrong there is an event. */
  #background(work: Promise<unknown>): void {
    work.catch((cause: unknown) => this.#report(cause));
  }

  #report(cause: unknown): void {
    this.#env.events.publish({ type: "failed", path: this.path, cause });
  }
}

/** Stays valid when the actor has ended: the mailbox then makes dead letters. */
class MailboxRef<M> implements ActorRef<M> {
  readonly path: string;
  readonly #mailbox: Mailbox<M>;
  readonly #asks: PendingAsks;

  constructor(path: string, mailbox: Mailbox<M>, asks: PendingAsks) {
    this.path = path;
    this.#mailbox = mailbox;
    this.#asks = asks;
  }

  offer(message: M): boolean {
    return this.#mailbox.offer(message);
  }

  tell(message: M): void {
    if (!this.#mailbox.offer(message)) throw full(this.path);
  }

  ask<R>(make: (reply: Reply<R>) => M, opts: AskOptions): Promise<R> {
    return this.#asks.ask(this.path, (message: M) => this.#mailbox.offer(message), make, opts);
  }
}
