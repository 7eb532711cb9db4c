/**
 * The learner's loop: ask for groups, take those that are judged, train, keep, publish, tell.
 *
 * - While step n trains, the groups of step n + 1 are sampled and judged: as many are asked for ahead as the
 *   staleness bound admits.
 * - A group's delivery is acknowledged when the state that holds its end is on disk. Killed at any moment, the
 *   learner goes on from there: what it had not kept is delivered again, what it had is known by the ledger.
 * - Steps take their groups in the order in which they were asked for, so that a straggler makes one step wait
 *   (at most for its judgment's deadline) instead of going stale, and the same seed gives the same batches.
 * - A group that does not come back is asked for again, up to four times; it counts once all the same.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Bus, WorkItem } from "../../lib/bus/bus.js";
import { publishModel } from "../../lib/bus/model-versions.js";
import type { Clock } from "../../lib/core/clock.js";
import { parseId } from "../../lib/core/ids.js";
import type { Logger } from "../../lib/core/logger.js";
import { seedFrom } from "../../lib/core/random.js";
import { formatTraceparent, newTrace } from "../../lib/core/trace-context.js";
import { createLedger, type Ledger, type LedgerBalance } from "../../lib/grpo/ledger.js";
import { learningRateAt } from "../../lib/grpo/schedule.js";
import { acceptedAfterRestart, admissible } from "../../lib/grpo/staleness.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { type LedgerCounts, StepFinished } from "../../lib/wire/gen/covote/v1/learning.js";
import type { Experience } from "../../lib/wire/gen/covote/v1/policy.js";
import { experienceCodec, promptCodec } from "../../lib/wire/messages.js";
import { createInbox } from "./inbox.js";
import type { LearnerMetrics } from "./metrics.js";
import type { LearnerOptions } from "./options.js";
import type { PromptSource } from "./prompt-source.js";
import { type LearnerState, restoreState, saveState } from "./resume-state.js";
import { stepMetrics } from "./step-metrics.js";
import { trainingBatch } from "./training-batch.js";

export interface LearnerDependencies {
  bus: Bus;
  trainer: Trainer;
  prompts: PromptSource;
  clock: Clock;
  log: Logger;
  metrics: LearnerMetrics;
}

/** How often a group is asked for before the run goes on without it. */
const maxAsks = 4;

/** The subject token that step events are published under. */
export const stepEvents = "step";

/** Runs until the last step is kept and published, or until the signal. Resolves with the final balance. */
export async function learn(
  deps: LearnerDependencies,
  options: LearnerOptions,
  signal: AbortSignal,
): Promise<LedgerBalance> {
  const { bus, trainer, prompts, clock, metrics } = deps;
  const log = deps.log.child({ run_id: options.runId });
  const { runId, groupsPerStep, steps } = options;
  const totalGroups = steps * groupsPerStep;
  const state: LearnerState = (await restoreState(options.stateDir, trainer)) ?? {
    runId,
    step: 0,
    asked: 0,
    ledger: createLedger(),
    lastEvent: "",
  };
  const { ledger } = state;
  const inbox = createInbox();
  const askedAtMs = new Map<string, { at: number; times: number }>();

  const ask = async (index: number): Promise<void> => {
    const groupId = groupIdOf(runId, index);
    const times = (askedAtMs.get(groupId)?.times ?? 0) + 1;
    askedAtMs.set(groupId, { at: clock.monotonic(), times });
    const traceparent = formatTraceparent(newTrace(randomHex));
    const prompt = promptCodec.encode({
      runId,
      groupId,
      query: { messages: prompts.query(index) },
      groupSize: options.groupSize,
      temperature: options.sampling.temperature,
      maxTokens: options.sampling.maxTokens,
      seed: seedFrom(options.seed, "group", index),
      step: state.step,
      judging: options.judging,
      traceparent,
      minPolicyVersion: Math.max(0, Math.floor(index / groupsPerStep) - options.maxStaleness),
    });
    const id = times === 1 ? groupId : `${groupId}-${times}`;
    await bus.enqueue("prompts", prompt, { id, traceparent, signal });
  };

  const askAhead = async (): Promise<void> => {
    const running = ledger.open().length - inbox.size();
    const room = admissible({
      maxStaleness: options.maxStaleness,
      version: state.step,
      batch: groupsPerStep,
      accepted: acceptedAfterRestart(state.step, groupsPerStep) + inbox.size(),
      running,
      maxConcurrent: Number.POSITIVE_INFINITY,
    });
    for (let n = 0; n < room && state.asked < totalGroups; n++) {
      const index = state.asked++;
      ledger.submitted(groupIdOf(runId, index));
      await ask(index);
    }
  };

  const askAgain = async (): Promise<void> => {
    for (const groupId of ledger.open()) {
      if (ledger.stateOf(groupId) !== "submitted") continue;
      const asked = askedAtMs.get(groupId);
      if (asked === undefined) await ask(indexOf(groupId));
      else if (clock.monotonic() - asked.at < options.groupPatienceMs) continue;
      else if (asked.times < maxAsks) {
        log.warn({ group_id: groupId }, "no experience in time; asking again");
        await ask(indexOf(groupId));
      } else {
        log.error({ group_id: groupId }, `no experience after ${asked.times} requests; going on without it`);
        ledger.dropped(groupId, "null");
        askedAtMs.delete(groupId);
        inbox.wake();
      }
    }
  };

  const receive = async (item: WorkItem): Promise<void> => {
    const experience = experienceCodec.decode(item.data);
    const groupId = parseId("experience.group_id", experience.rollout?.prompt?.groupId);
    const known = ledger.stateOf(groupId);
    const outcome = known === undefined ? "unknown" : ledger.judged(groupId);
    if (outcome === "unknown")
      return log.warn({ group_id: groupId }, "a group that this run never asked for");
    if (known !== "submitted" && known !== "judged") return;
    await inbox.put(groupId, experience, item.signal);
  };

  const publish = (): Promise<unknown> =>
    trainer.weights().then((safetensors) =>
      publishModel(bus, clock, {
        role: "policy",
        number: state.step,
        version: `${runId}-policy-${state.step}`,
        runId,
        safetensors,
      }),
    );

  const takeStep = async (): Promise<void> => {
    const startedAt = clock.monotonic();
    const { step } = state;
    const ids = Array.from({ length: groupsPerStep }, (_, i) => groupIdOf(runId, step * groupsPerStep + i));
    const groups = await inbox.take(ids, (id) => hasEnded(ledger.stateOf(id)), signal);
    const collectedAt = clock.monotonic();
    const learningRate = learningRateAt(step, { ...options.learningRate, totalSteps: steps });
    const prepared = trainingBatch(
      groups.map(([, experience]) => experience),
      { version: step, maxStaleness: options.maxStaleness, normalise: options.advantage.normalise },
    );
    const report =
      prepared.batch.sequences.length === 0
        ? { metrics: {} }
        : await trainer.stepGrpo(prepared.batch, options.loss, {
            learningRate,
            maxGradNorm: options.maxGradNorm,
          });
    groups.forEach(([groupId], i) => {
      const reason = prepared.dropped[i];
      if (reason) ledger.dropped(groupId, reason);
      else ledger.trained(groupId);
      askedAtMs.delete(groupId);
    });
    state.step = step + 1;
    if (state.step === steps) ledger.end();
    const experiences = groups.map(([, experience]) => experience);
    const event = StepFinished.encode({
      runId,
      step: state.step,
      metrics: {
        ...report.metrics,
        ...prepared.metrics,
        ...stepMetrics(experiences, clock.monotonic() - startedAt),
        learning_rate: learningRate,
        policy_version: state.step,
        waiting_s: (collectedAt - startedAt) / 1000,
        training_s: (clock.monotonic() - collectedAt) / 1000,
      },
      groups: experiences.map(withoutTokens),
      dropped: prepared.dropped.map((reason) => reason ?? ""),
      ledger: toCounts(ledger.balance()),
    }).finish();
    state.lastEvent = Buffer.from(event).toString("base64");
    await saveState(options.stateDir, trainer, state);
    await publish();
    if (state.step % options.exportEvery === 0 || state.step === steps) {
      await trainer.export(join(options.exportDir, `step-${state.step}`));
    }
    inbox.settle(groups.map(([groupId]) => groupId));
    await askAhead();
    bus.publish(bus.subjects.events(stepEvents), event);
    metrics.stepped(state.step, prepared.metrics, report.metrics);
  };

  const loop = bus.work(
    "experience",
    { concurrency: (options.maxStaleness + 2) * groupsPerStep, subjectToken: runId },
    receive,
  );
  const patrol = clock.every(
    Math.max(250, options.groupPatienceMs / 4),
    () => void askAgain().catch((error: unknown) => log.warn({ error }, "could not ask again")),
    { background: true },
  );
  try {
    if (state.step > 0) {
      log.info({ step: state.step, open: ledger.open().length }, "resumed");
      bus.publish(bus.subjects.events(stepEvents), Buffer.from(state.lastEvent, "base64"));
    }
    await publish();
    await askAgain();
    await askAhead();
    while (state.step < steps) await takeStep();
    await loop.drain(5_000);
    return ledger.balance();
  } finally {
    patrol.cancel();
    if (state.step < steps) await loop.stop();
  }
}

export function groupIdOf(runId: string, index: number): string {
  return `${runId}-g${index}`;
}

function indexOf(groupId: string): number {
  return Number(groupId.slice(groupId.lastIndexOf("-g") + 2));
}

function hasEnded(state: ReturnType<Ledger["stateOf"]>): boolean {
  return state !== "submitted" && state !== "sampled" && state !== "judged";
}

function randomHex(bytes: number): string {
  return randomBytes(bytes).toString("hex");
}

function toCounts(balance: LedgerBalance): LedgerCounts {
  const { submitted, judged, trained, dropped, lost, duplicated, repeated } = balance;
  return {
    submitted,
    judged,
    trained,
    droppedNoSpread: dropped.no_spread,
    droppedNull: dropped.null,
    droppedStale: dropped.stale,
    lost,
    duplicated,
    repeated,
  };
}

/** Token traces are for training; what is told afterwards is text. */
function withoutTokens(experience: Experience): Experience {
  const { rollout } = experience;
  if (rollout === undefined) return experience;
  const responses = rollout.responses.map((response) => ({ ...response, tokens: undefined }));
  return { ...experience, rollout: { ...rollout, responses } };
}
