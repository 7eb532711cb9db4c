/**
 * The learner's loop: ask for groups, take those that are judged, train, keep, publish, tell.
 *
 * - While step n trains, the groups of step n + 1 are sampled and judged: as many are asked for ahead as the
 *   staleness bound admits.
 * - A group's delivery is acknowledged when the state that holds its end is on disk. Killed at any moment, the
 *   learner goes on from there: what it had not kept is delivered again, what it had is known by the ledger.
 * - Steps take their groups in the order in which they were asked for, so that a straggler makes one step wait
 *   (at most for its judgment's deadline) instead of going stale, and the same seed gives the same batches.
 * - A group that does not come back is asked for again; it counts once all the same. See asking.ts.
 * - NATS may be away for as long as it likes: what has to go out waits, and the run goes on.
 */
import type { Bus, WorkItem } from "../../lib/bus/bus.js";
import { persist } from "../../lib/bus/enqueue-surely.js";
import { publishModel } from "../../lib/bus/model-versions.js";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { Tracer } from "../../lib/core/tracer.js";
import { createLedger, type Ledger, type LedgerBalance } from "../../lib/grpo/ledger.js";
import { learningRateAt } from "../../lib/grpo/schedule.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { StepFinished } from "../../lib/wire/gen/covote/v1/learning.js";
import { experienceCodec } from "../../lib/wire/messages.js";
import { createAsking } from "./asking.js";
import { checkExperience } from "./check-experience.js";
import { createCheckpoints } from "./checkpoints.js";
import { createCollapseWatch } from "./collapse-watch.js";
import { groupIdOf } from "./group-id.js";
import { createInbox, type Inbox } from "./inbox.js";
import { judgmentMetrics } from "./judgment-metrics.js";
import type { LearnerMetrics } from "./metrics.js";
import type { LearnerOptions } from "./options.js";
import type { PromptSource } from "./prompt-source.js";
import { keptEvents, type LearnerState, readEvent, restoreState, saveState } from "./resume-state.js";
import { encodeStepEvent, stepEvent } from "./step-event.js";
import { stepMetrics } from "./step-metrics.js";
import { inStepSpan, type StepSpan } from "./step-span.js";

export interface LearnerDependencies {
  bus: Bus;
  trainer: Trainer;
  prompts: PromptSource;
  clock: Clock;
  log: Logger;
  metrics: LearnerMetrics;
  tracer?: Tracer | null;
}

/** Largest event that travels; NATS takes 1 MiB unless told otherwise. */
const maxEventBytes = 1_000_000;

/** The subject token that step events are published under. */
export const stepEvents = "step";

/** Runs until the last step is kept and published, or until the signal. Resolves with the final balance. */
export async function learn(
  deps: LearnerDependencies,
  options: LearnerOptions,
  signal: AbortSignal,
): Promise<LedgerBalance> {
  const { bus, trainer, prompts, clock, metrics, tracer = null } = deps;
  const log = deps.log.child({ run_id: options.runId });
  const { runId, method, groupsPerStep, steps, stateDir } = options;
  const state: LearnerState = (await restoreState(stateDir, runId, trainer)) ?? {
    runId,
    step: 0,
    asked: 0,
    ledger: createLedger(),
  };
  const { ledger } = state;
  metrics.begun(state.step, ledger.balance());
  const inbox = createInbox();
  const asking = createAsking({ bus, prompts, inbox, clock, log, signal, tracer }, options, state);
  const { exportDir: dir, exportEvery: every } = options;
  const checkpoints = createCheckpoints(trainer, { dir, every, steps });
  const watch =
    options.role === "grm"
      ? createCollapseWatch({ limits: options.collapse, frozen: method.frozen, checkpoints, log })
      : null;
  const isExported = (step: number): boolean => checkpoints.isDue(step) || watch?.exportsEach === true;

  /** Of the last steps' groups, of an earlier life's too. */
  const totals: Record<string, number> = {};
  const addUp = (told: Readonly<Record<string, number>>): void => {
    for (const [name, value] of Object.entries(told)) totals[name] = (totals[name] ?? 0) + value;
  };

  /** What must succeed before the run goes on is tried until it does. */
  const surely = <T>(what: string, work: () => Promise<T>): Promise<T> =>
    persist(work, {
      clock,
      signal,
      failed: (error, failures) => log.warn({ error, failures }, `could not ${what}; trying again`),
    });

  const receive = async (item: WorkItem): Promise<void> => {
    const experience = experienceCodec.decode(item.data);
    const groupId = checkExperience(experience, { runId, groupSize: options.groupSize });
    const known = ledger.stateOf(groupId);
    const outcome = known === undefined ? "unknown" : ledger.judged(groupId);
    if (outcome === "unknown")
      return log.warn({ group_id: groupId }, "a group that this run never asked for");
    if (hasEnded(known)) return;
    experience.traceparent = item.traceparent ?? experience.traceparent;
    await inbox.put(groupId, experience, item.signal);
  };

  const publish = async (safetensors: Uint8Array, number = state.step): Promise<void> => {
    const { role } = options;
    const version = `${runId}-${role}-${number}`;
    await surely("publish the weights", () =>
      publishModel(bus, clock, { role, number, version, runId, safetensors }),
    );
  };

  /** Events travel without storage: one that was told on a connection that broke is told again. */
  const tell = (event: Uint8Array): Promise<void> =>
    surely("tell about the step", async () => {
      const { epoch } = bus;
      bus.publish(bus.subjects.events(stepEvents), event);
      await bus.flush();
      if (bus.epoch !== epoch) throw new CovoteError("unavailable", "the connection broke meanwhile");
    });

  const takeStep = async (): Promise<void> => {
    const startedAt = clock.monotonic();
    const { step } = state;
    const ids = Array.from({ length: groupsPerStep }, (_, i) => groupIdOf(runId, step * groupsPerStep + i));
    const groups = await inbox.take(ids, (id) => hasEnded(ledger.stateOf(id)), signal);
    const collectedAt = clock.monotonic();
    const about = { runId, step: step + 1, waitingMs: collectedAt - startedAt };
    await inStepSpan(tracer, about, groups, (span) => train(groups, { startedAt, collectedAt }, span));
  };

  const train = async (
    groups: JudgedGroups,
    { startedAt, collectedAt }: Stamps,
    span: StepSpan,
  ): Promise<void> => {
    const { step } = state;
    const learningRate = learningRateAt(step, { ...options.learningRate, totalSteps: steps });
    const experiences = groups.map(([, experience]) => experience);
    const prepared = method.prepare(experiences, step);
    span.prepared(prepared);
    addUp(prepared.metrics);
    const judged = watch === null ? {} : judgmentMetrics(experiences);
    const watched = await watch?.check(step + 1, { ...prepared.metrics, ...judged });
    const { train: update } = prepared;
    const report =
      update === null
        ? { metrics: {} }
        : await span.phase("train", () =>
            update(trainer, { learningRate, maxGradNorm: options.maxGradNorm }),
          );
    groups.forEach(([groupId], i) => {
      const reason = prepared.dropped[i];
      if (reason) ledger.dropped(groupId, reason);
      else ledger.trained(groupId);
      asking.ended(groupId);
    });
    watch?.trained(report.metrics);
    state.step = step + 1;
    const isEnd = state.step === steps;
    if (isEnd) ledger.end();
    method.check(ledger.balance(), { isEnd, round: prompts.round ?? Number.POSITIVE_INFINITY, totals });
    const told = stepEvent({
      runId,
      step: state.step,
      metrics: {
        ...report.metrics,
        ...prepared.metrics,
        ...judged,
        ...watched,
        ...stepMetrics(experiences, clock.monotonic() - startedAt),
        learning_rate: learningRate,
        policy_version: state.step,
        waiting_s: (collectedAt - startedAt) / 1000,
        training_s: (clock.monotonic() - collectedAt) / 1000,
      },
      groups: experiences,
      dropped: prepared.dropped,
      ledger: ledger.balance(),
    });
    const event = encodeStepEvent(told, maxEventBytes);
    const trainedAt = clock.monotonic();
    await span.phase("save", () => saveState(stateDir, trainer, state, event));
    const keptAt = clock.monotonic();
    if (!method.frozen || state.step === steps) {
      await span.phase("publish weights", async () => publish(await trainer.weights()));
    }
    const publishedAt = clock.monotonic();
    if (isExported(state.step)) await checkpoints.export(state.step);
    if (state.step === steps) await checkpoints.prune(() => false);
    const exportedAt = clock.monotonic();
    inbox.settle(groups.map(([groupId]) => groupId));
    asking.reserve();
    await span.phase("ask", () => asking.askReserved());
    await tell(event);
    metrics.stepped({
      step: state.step,
      groups: prepared.metrics,
      dropped: prepared.dropped,
      report: report.metrics,
      learningRate,
      ledger: ledger.balance(),
      phasesMs: {
        wait: collectedAt - startedAt,
        train: trainedAt - collectedAt,
        keep: keptAt - trainedAt + (exportedAt - publishedAt),
        publish: publishedAt - keptAt,
        ask: clock.monotonic() - exportedAt,
      },
    });
  };

  /** A life that was killed may have asked for these; its answers must not find them unknown. */
  asking.reserve();
  const loop = bus.work(
    "experience",
    { concurrency: (options.maxStaleness + 2) * groupsPerStep, subjectToken: runId },
    receive,
  );
  let patrolling = false;
  const patrol = async (): Promise<void> => {
    if (patrolling) return;
    patrolling = true;
    await asking.askOverdue().catch((error: unknown) => log.warn({ error }, "could not ask again"));
    patrolling = false;
  };
  const patrols = clock.every(Math.max(250, options.groupPatienceMs / 4), () => void patrol(), {
    background: true,
  });
  try {
    if (method.frozen && state.step < steps) await publish(await trainer.initialWeights(), 0);
    else await publish(await trainer.weights());
    // A life that was killed may have kept its step without exporting it.
    const { step } = state;
    if (isExported(step) && (step === 0 || !checkpoints.exists(step))) await checkpoints.export(step);
    if (state.step > 0) {
      log.info({ step: state.step, open: ledger.open().length }, "resumed");
      await replayTo(state.step, stateDir, (past, told) => {
        watch?.replay(past, told);
        addUp(told);
      });
      const event = await readEvent(stateDir, state.step);
      if (event !== null) await tell(event);
    }
    await asking.askReserved();
    while (state.step < steps) await takeStep();
    await loop.drain(5_000);
    return ledger.balance();
  } finally {
    patrols.cancel();
    if (state.step < steps) await loop.stop();
  }
}

type JudgedGroups = Awaited<ReturnType<Inbox["take"]>>;

/** On the monotonic clock. */
interface Stamps {
  startedAt: number;
  collectedAt: number;
}

/** What the kept events say about the steps so far. */
async function replayTo(
  step: number,
  stateDir: string,
  replay: (step: number, metrics: Readonly<Record<string, number>>) => void,
): Promise<void> {
  for (let past = Math.max(1, step - keptEvents + 1); past <= step; past++) {
    const event = await readEvent(stateDir, past);
    if (event !== null) replay(past, StepFinished.decode(event).metrics);
  }
}

function hasEnded(state: ReturnType<Ledger["stateOf"]>): boolean {
  return state !== "submitted" && state !== "sampled" && state !== "judged";
}
