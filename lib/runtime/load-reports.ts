/**
 * Tells the cluster what a service has done and has to do: a load report every few seconds, on a core subject.
 *
 * - Reports travel without storage and are never queued up: while NATS is away there are none, and who reads them knows
 *   how old the last one is.
 * - Sums only grow during one life; a new life reports under a new name.
 * - How many of an engine's slots are taken is looked at several times between two reports.
 */
import type { Bus } from "../bus/bus.js";
import type { Clock } from "../core/clock.js";
import { newId } from "../core/ids.js";
import type { EngineStats } from "../engine/engine.js";
import type { JudgingLoad, LearnerLoad } from "../wire/gen/covote/v1/scaling.js";
import { loadReportCodec } from "../wire/messages.js";

export const loadRoles = ["policy", "grm", "meta-rm", "aggregator", "learner"] as const;
export type LoadRole = (typeof loadRoles)[number];

/** Layout of the message; a change that old readers would misread gets a new number. */
export const loadLayout = 1;

/** Results of an engine so far, and their tokens. */
export interface EngineWork {
  items: number;
  itemTokens: number;
}

export interface LoadSource {
  role: LoadRole;
  /** Of services that run a model. `waiting`: requests that the service holds back from the engine. */
  engine?: { stats(): EngineStats; work(): EngineWork; waiting?(): number };
  judging?(): JudgingLoad;
  learner?(): LearnerLoad;
}

export interface LoadOptions {
  /** The process; on Kubernetes the pod. */
  host: string;
  intervalMs: number;
}

export interface LoadReporting {
  stop(): void;
}

/** Looks at an engine between two reports. */
const looks = 10;

export function reportLoad(
  { bus, clock }: { bus: Bus; clock: Clock },
  source: LoadSource,
  options: LoadOptions | undefined,
): LoadReporting {
  if (options === undefined) return { stop: () => undefined };
  const { host, intervalMs } = options;
  const reporter = newId();
  const startedAt = clock.monotonic();
  let sequence = 0;
  let slotMs = 0;
  let lookedAt = startedAt;

  const look = (): void => {
    if (source.engine === undefined) return;
    const { running, slots } = source.engine.stats();
    const now = clock.monotonic();
    slotMs += (now - lookedAt) * Math.min(running, slots);
    lookedAt = now;
  };
  const report = (): void => {
    if (bus.status() !== "connected") return;
    const data = loadReportCodec.encode({
      layout: loadLayout,
      role: source.role,
      reporter,
      host,
      sequence: ++sequence,
      intervalMs,
      engine: source.engine && engineLoad(source.engine, slotMs, clock.monotonic() - startedAt),
      judging: source.judging?.(),
      learner: source.learner?.(),
    });
    bus.publish(bus.subjects.loads(source.role), data);
  };

  let count = 0;
  const timer = clock.every(
    intervalMs / looks,
    () => {
      look();
      if (++count % looks !== 0) return;
      try {
        report();
      } catch {
        // The connection is closing; a report is lost like any other.
      }
    },
    { background: true },
  );
  return { stop: () => timer.cancel() };
}

function engineLoad(engine: NonNullable<LoadSource["engine"]>, slotMs: number, upMs: number) {
  const { slots, running, waiting, busyMs, generatedTokens, promptTokens } = engine.stats();
  const { items, itemTokens } = engine.work();
  return {
    slots,
    running,
    waiting: waiting + (engine.waiting?.() ?? 0),
    upMs,
    busyMs,
    slotMs,
    generatedTokens,
    promptTokens,
    items,
    itemTokens,
  };
}
