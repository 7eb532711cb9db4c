/**
 * Spans of the learner: the request for a group is the root of the group's trace; a step is the root of its own, and
 * is linked to the traces of the groups that it was made of, with a child for each phase.
 */
import { type Span, type Tracer, within } from "../../lib/core/tracer.js";
import type { Experience } from "../../lib/wire/gen/covote/v1/policy.js";
import type { PreparedStep } from "./method.js";

export function groupSpan(
  tracer: Tracer,
  group: { runId: string; groupId: string; step: number; times: number },
): Span | null {
  return tracer.start("group", {
    attributes: {
      "covote.run_id": group.runId,
      "covote.group_id": group.groupId,
      "covote.step": group.step,
      "covote.times_asked": group.times,
    },
  });
}

export interface StepSpan {
  phase<T>(name: string, work: () => Promise<T>): Promise<T>;
  prepared(prepared: PreparedStep): void;
}

/** Begun when the groups of the step are here: only then are its causes known. */
export function inStepSpan<T>(
  tracer: Tracer | null,
  about: { runId: string; step: number; waitingMs: number },
  groups: readonly [groupId: string, experience: Experience][],
  work: (span: StepSpan) => Promise<T>,
): Promise<T> {
  const span = tracer?.start("step", {
    links: groups.map(([, { traceparent }]) => traceparent),
    attributes: {
      "covote.run_id": about.runId,
      "covote.step": about.step,
      "covote.groups": groups.length,
      "covote.waiting_ms": about.waitingMs,
    },
  });
  const step: StepSpan = {
    phase: (name, work) => within(span && tracer?.start(name, { parent: span.traceparent }), work),
    prepared: ({ dropped, train }) => {
      const reasons = dropped.filter((reason) => reason !== null);
      span?.set({
        "covote.groups_dropped": reasons.length,
        "covote.drop_reasons": reasons.length === 0 ? undefined : [...new Set(reasons)].sort(),
        "covote.trained": train !== null,
      });
    },
  };
  return within(span, () => work(step));
}
