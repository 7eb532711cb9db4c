/**
 * The shell of a process: stages that start in order and stop in reverse.
 *
 * - Stages start one after the other, in the order of their registration. When one fails, those that run
 *   are stopped again and `start` rejects.
 * - `stop` is idempotent: every call returns the same promise. Readiness goes false and `signal` aborts
 *   before the first stage is stopped; each stage gets what is left of the drain time; one that fails or is
 *   too slow is named in the log, and the rest is stopped all the same.
 * - `fail` is for background work that died: the process drains and ends with the cause.
 * - State moves in one place and every move is logged.
 */
import type { Clock } from "../core/clock.js";
import { type Deadline, deadlineIn } from "../core/deadline.js";
import { CovoteError } from "../core/errors.js";
import type { Logger } from "../core/logger.js";
import { createHealth, type Health } from "./health.js";
import { createMetrics, type Metrics } from "./metrics.js";

/** The deadline is what is left of the drain time, shared by all stages. */
export type Stop = (deadline: Deadline) => Promise<void>;
export type StageStart = () => Promise<Stop | undefined> | Promise<void>;

export type HostState =
  | { t: "created" }
  | { t: "starting"; stage: string }
  | { t: "running" }
  | { t: "draining"; reason: string; deadlineAtMs: number }
  | { t: "stopped"; reason: string }
  | { t: "failed"; cause: CovoteError };

export type ExitReason = { t: "stopped"; reason: string } | { t: "failed"; cause: CovoteError };

export interface Host {
  /** The service. */
  readonly name: string;
  /** This process or instance among those of the same name; fit for a bus subject. */
  readonly id: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
  /** Aborts when draining starts: stop taking new work, finish what was accepted. */
  readonly signal: AbortSignal;
  /** Registers a stage; only before `start`. What `start` returns stops the stage. */
  stage(name: string, start: StageStart): void;
  start(): Promise<void>;
  stop(reason: string): Promise<void>;
  /** A dead background task: the host drains, and `done` says failed. The first cause counts. */
  fail(cause: unknown): void;
  state(): HostState;
  /** Resolves when everything is stopped; never rejects. */
  readonly done: Promise<ExitReason>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface HostOptions {
  name: string;
  /** Default: the name. */
  id?: string;
  log: Logger;
  clock: Clock;
  /** Time that all stages together get to stop. */
  drainTimeoutMs: number;
  /** Default: a registry of its own. */
  metrics?: Metrics;
}

export function createHost(options: HostOptions): Host {
  const { name, clock } = options;
  const log = options.log.child({ host: options.id ?? name });
  const health = createHealth();
  const draining = new AbortController();
  const stages: { name: string; start: StageStart }[] = [];
  const running: { name: string; stop: Stop }[] = [];
  const exit = promiseWithResolvers<ExitReason>();
  let state: HostState = { t: "created" };
  let failure: CovoteError | undefined;
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;

  health.setReady("host", false, "starting");

  function move(next: HostState): void {
    state = next;
    log.info({ state: next.t, ...("stage" in next ? { stage: next.stage } : {}) }, `host ${name}: ${next.t}`);
  }

  async function runStages(): Promise<void> {
    for (const stage of stages) {
      if (stopping !== undefined) return;
      move({ t: "starting", stage: stage.name });
      const stop = await stage.start();
      if (typeof stop === "function") running.push({ name: stage.name, stop });
    }
    if (stopping !== undefined) return;
    move({ t: "running" });
    health.setReady("host", true);
  }

  async function drain(reason: string): Promise<void> {
    const deadline = deadlineIn(clock, options.drainTimeoutMs);
    health.setReady("host", false, reason);
    move({ t: "draining", reason, deadlineAtMs: deadline.atMs });
    draining.abort(new CovoteError("cancelled", `${name} is stopping: ${reason}`));
    // A stage that is just starting may still register its stop; it is waited for like a stage that stops.
    if (starting !== undefined) await settledWithin(clock, starting, deadline.remainingMs());
    for (let stage = running.pop(); stage !== undefined; stage = running.pop())
      await stopStage(stage, deadline);
    move(failure === undefined ? { t: "stopped", reason } : { t: "failed", cause: failure });
    exit.resolve(failure === undefined ? { t: "stopped", reason } : { t: "failed", cause: failure });
  }

  async function stopStage(stage: { name: string; stop: Stop }, deadline: Deadline): Promise<void> {
    const startedAt = clock.now();
    try {
      const outcome = await settledWithin(
        clock,
        stage.stop(deadline),
        Math.max(minStopMs, deadline.remainingMs()),
      );
      const ms = Math.round(clock.now() - startedAt);
      if (outcome.t === "late") {
        log.error(
          { stage: stage.name, ms },
          `host ${name}: stage ${stage.name} did not stop in time, going on`,
        );
      } else if (outcome.t === "failed") {
        log.error(
          { stage: stage.name, ms, error: outcome.cause },
          `host ${name}: stage ${stage.name} failed to stop`,
        );
      } else {
        log.debug({ stage: stage.name, ms }, `host ${name}: stage ${stage.name} stopped`);
      }
    } catch (error) {
      log.error({ stage: stage.name, error }, `host ${name}: stage ${stage.name} failed to stop`);
    }
  }

  const host: Host = {
    name,
    id: options.id ?? name,
    log,
    metrics: options.metrics ?? createMetrics({ service: name }),
    health,
    signal: draining.signal,
    stage: (stageName, start) => {
      if (state.t !== "created") {
        throw new CovoteError("internal", `host ${name}: stage ${stageName} was registered after the start`);
      }
      stages.push({ name: stageName, start });
    },
    start: async () => {
      if (starting !== undefined) return await starting;
      if (stopping !== undefined)
        throw new CovoteError("cancelled", `host ${name}: stopped before it started`);
      starting = runStages();
      try {
        await starting;
      } catch (cause) {
        failure ??= CovoteError.from(cause);
        await host.stop("a stage failed to start");
        throw failure;
      }
      if (stopping !== undefined) {
        await stopping;
        throw failure ?? new CovoteError("cancelled", `host ${name}: stopped while starting`);
      }
    },
    stop: (reason) => {
      stopping ??= drain(reason);
      return stopping;
    },
    fail: (cause) => {
      const error = CovoteError.from(cause);
      log.error({ error }, `host ${name}: ${error.message}`);
      if (state.t === "stopped" || state.t === "failed") return;
      failure ??= error;
      void host.stop(`failed: ${error.message}`);
    },
    state: () => state,
    done: exit.promise,
    [Symbol.asyncDispose]: () => host.stop("disposed"),
  };
  return host;
}

/** A stage that comes after the drain time is used up still gets this long, in milliseconds, to let go. */
const minStopMs = 100;

type Settled = { t: "done" } | { t: "failed"; cause: unknown } | { t: "late" };

async function settledWithin(clock: Clock, work: Promise<void>, ms: number): Promise<Settled> {
  const settled = work.then(
    (): Settled => ({ t: "done" }),
    (cause: unknown): Settled => ({ t: "failed", cause }),
  );
  const late = promiseWithResolvers<Settled>();
  const timer = clock.after(ms, () => late.resolve({ t: "late" }));
  try {
    return await Promise.race([settled, late.promise]);
  } finally {
    timer.cancel();
  }
}

function promiseWithResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
