/**
 * Asking for groups: as many ahead as the staleness bound admits, and once more for those that do not come back.
 *
 * - A group is in the ledger before its prompt is in the queue, so that nothing comes back unknown.
 * - A full or absent queue is waited for.
 * - A second request travels under a second id, which the samples and rewards of it carry on: the memory of ids
 *   that drops duplicates must not swallow it. Whichever comes back first counts; the ledger knows the group.
 */
import type { Bus } from "../../lib/bus/bus.js";
import { enqueueSurely } from "../../lib/bus/enqueue-surely.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Logger } from "../../lib/core/logger.js";
import { seedFrom } from "../../lib/core/random.js";
import { systemRandomHex } from "../../lib/core/random-hex.js";
import { formatTraceparent, newTrace } from "../../lib/core/trace-context.js";
import { type Tracer, within } from "../../lib/core/tracer.js";
import { admissible } from "../../lib/grpo/staleness.js";
import { promptCodec } from "../../lib/wire/messages.js";
import { groupSizeOf } from "./check-experience.js";
import { groupIdOf, indexOfGroup } from "./group-id.js";
import type { Inbox } from "./inbox.js";
import type { LearnerOptions } from "./options.js";
import type { PromptSource } from "./prompt-source.js";
import type { LearnerState } from "./resume-state.js";
import { groupSpan } from "./step-span.js";

export interface Asking {
  /** Enters the groups that may be asked for at the current step into the ledger. */
  reserve(): void;
  /** Asks for what was reserved and not asked for yet. Rejects with `cancelled` at the signal. */
  askReserved(): Promise<void>;
  /** Asks again for groups that are overdue, and gives up those that never come. */
  askOverdue(): Promise<void>;
  /** The group has its end: forget when it was asked for. */
  ended(groupId: string): void;
}

export interface AskingDependencies {
  bus: Bus;
  prompts: PromptSource;
  inbox: Inbox;
  clock: Clock;
  log: Logger;
  signal: AbortSignal;
  tracer: Tracer | null;
}

/** How often a group is asked for before the run goes on without it. */
const maxAsks = 4;

export function createAsking(
  { bus, prompts, inbox, clock, log, signal, tracer }: AskingDependencies,
  options: LearnerOptions,
  state: LearnerState,
): Asking {
  const { runId, groupsPerStep } = options;
  const { ledger } = state;
  const totalGroups = options.steps * groupsPerStep;
  const asked = new Map<string, { atMs: number; times: number }>();

  const ask = async (groupId: string): Promise<void> => {
    const index = indexOfGroup(groupId);
    const times = (asked.get(groupId)?.times ?? 0) + 1;
    asked.set(groupId, { atMs: clock.monotonic(), times });
    const span = tracer && groupSpan(tracer, { runId, groupId, step: state.step, times });
    const traceparent = span?.traceparent ?? formatTraceparent(newTrace(systemRandomHex));
    const { messages, label, hinted = false } = prompts.prompt(index);
    const prompt = promptCodec.encode({
      runId,
      groupId,
      query: { messages },
      groupSize: groupSizeOf(hinted, options.groupSize),
      temperature: options.sampling.temperature,
      maxTokens: options.sampling.maxTokens,
      seed: seedFrom(options.seed, "group", index),
      step: state.step,
      judging: options.judging,
      traceparent,
      minPolicyVersion: options.method.frozen
        ? 0
        : Math.max(0, Math.floor(index / groupsPerStep) - options.maxStaleness),
      label: label ?? undefined,
      hinted,
    });
    const id = times === 1 ? groupId : `${groupId}-${times}`;
    const about = { id, traceparent, signal, subjectToken: options.role };
    await within(span, async () => {
      await enqueueSurely({ bus, clock }, "prompts", prompt, about);
    });
  };

  /** Open groups whose reward is not here; one that was, in an earlier life, may have been lost with it. */
  const missing = (): string[] => ledger.open().filter((groupId) => !inbox.holds(groupId));

  return {
    reserve: () => {
      const running = ledger.open().length;
      const room = admissible({
        maxStaleness: options.maxStaleness,
        version: state.step,
        batch: groupsPerStep,
        accepted: state.asked - running,
        running,
        maxConcurrent: Number.POSITIVE_INFINITY,
      });
      for (let n = 0; n < room && state.asked < totalGroups; n++) {
        ledger.submitted(groupIdOf(runId, state.asked++));
      }
    },
    askReserved: async () => {
      for (const groupId of missing()) if (!asked.has(groupId)) await ask(groupId);
    },
    askOverdue: async () => {
      for (const groupId of missing()) {
        const last = asked.get(groupId);
        if (last === undefined || clock.monotonic() - last.atMs < options.groupPatienceMs) continue;
        if (last.times < maxAsks) {
          log.warn({ group_id: groupId }, "no experience in time; asking again");
          await ask(groupId);
        } else {
          log.error({ group_id: groupId }, `no experience after ${last.times} requests; going on without it`);
          ledger.dropped(groupId, "null");
          asked.delete(groupId);
          inbox.wake();
        }
      }
    },
    ended: (groupId) => void asked.delete(groupId),
  };
}
