/**
 * Sampling groups for a learner: pulls the prompts of one role, samples a group for each with the engine that
 * serves it, and publishes the rollout.
 *
 * - A prompt is acknowledged when its rollout is in the aggregators' queue, under the prompt's own id. A full
 *   queue is waited for; the group is not thrown away.
 * - A prompt that the model can never sample (too long, unknown words) is answered too: with a rollout that has
 *   no responses and says why. Its group ends as refused; nobody waits for what cannot come.
 * - New weights are taken up between groups: a group is sampled by one version, and says which; see serving.ts
 *   for which versions may sample it.
 */
import type { Bus, WorkItem } from "../bus/bus.js";
import { enqueueSurely } from "../bus/enqueue-surely.js";
import type { ModelLoad } from "../bus/model-versions.js";
import type { Clock } from "../core/clock.js";
import type { Deadline } from "../core/deadline.js";
import { CovoteError, invalid } from "../core/errors.js";
import { parseId } from "../core/ids.js";
import type { Logger } from "../core/logger.js";
import { type Tracer, within } from "../core/tracer.js";
import type { GenerativeEngine } from "../engine/engine.js";
import { isChatMessage } from "../grm/chat.js";
import { promptCodec, rolloutCodec } from "../wire/messages.js";
import { checkSampling, type SampledGroup, sampleOrRefuse } from "./sample-group.js";
import { createServing, type RunVersion } from "./serving.js";

export interface SamplingDependencies {
  bus: Bus;
  engine: GenerativeEngine;
  clock: Clock;
  log: Logger;
  meter: SamplingMeter;
  tracer?: Tracer | null;
}

/** Told about what was sampled. */
export interface SamplingMeter {
  /** `ms`: since the prompt was taken. */
  sampled(group: SampledGroup, ms: number): void;
  refused(): void;
}

export interface SamplingOptions {
  /** Whose prompts. */
  role: "policy" | "grm";
  /** Name on the rollouts. */
  name: string;
  /** Groups sampled at a time. */
  concurrency: number;
}

export interface Sampling {
  /** These weights are on their way to the engine. */
  announced(version: RunVersion): void;
  /** Puts the weights into the engine. */
  load(model: ModelLoad): Promise<void>;
  /** Starts to pull prompts, if the engine can serve a learner; others are left to those that can. */
  start(): void;
  drain(deadline: Deadline): Promise<void>;
}

/** Why a learner cannot use what this engine samples; null: it can. */
export function unfitForTraining({ load, untrainable }: GenerativeEngine): string | null {
  if (untrainable !== undefined) return untrainable;
  return load === undefined ? "it does not take up new weights" : null;
}

/** Versions whose groups may still be in the engine. */
const rememberedVersions = 64;

export function createSampling(
  { bus, engine, clock, log, meter, tracer = null }: SamplingDependencies,
  { role, name, concurrency }: SamplingOptions,
): Sampling {
  const serving = createServing({ clock, strangerPatienceMs: 250, patienceMs: 30_000 });
  /** Version name → number and run; a group carries the number of the version that sampled it. */
  const versions = new Map<string, RunVersion>();
  const remember = (version: string, { runId, number }: RunVersion): void => {
    versions.delete(version);
    versions.set(version, { runId, number });
    for (const oldest of versions.keys()) {
      if (versions.size <= rememberedVersions) return;
      versions.delete(oldest);
    }
  };

  const handle = async (item: WorkItem): Promise<void> => {
    const takenAt = clock.monotonic();
    const prompt = promptCodec.decode(item.data);
    const groupId = parseId("prompt.group_id", prompt.groupId);
    const messages = (prompt.query?.messages ?? []).filter(isChatMessage);
    if (messages.length === 0) throw invalid("prompt.query", "has no messages");
    const { groupSize, temperature, maxTokens, seed } = prompt;
    checkSampling({ groupSize, temperature });
    if (maxTokens < 1) throw invalid("max_tokens", "must be at least 1");
    await serving.until({ runId: prompt.runId, number: prompt.minPolicyVersion }, item.signal);
    const traceparent = item.traceparent ?? prompt.traceparent;
    const span = tracer?.start("sample", {
      parent: traceparent,
      attributes: {
        "covote.run_id": prompt.runId,
        "covote.group_id": groupId,
        "covote.step": prompt.step,
        "covote.responses": groupSize,
      },
    });
    const about = { id: groupId, messages, groupSize, temperature, maxTokens, seed };
    const request = { ...about, traceparent: span?.traceparent };
    const group = await within(span, async () => {
      const sampled = await sampleOrRefuse(engine, request, item.signal);
      span?.set({
        "covote.policy_version": sampled.version,
        "covote.refusal": sampled.refusal || undefined,
        "gen_ai.usage.output_tokens": sampled.cost.completionTokens,
      });
      return sampled;
    });
    const sampledAt = clock.monotonic();
    const sampledBy = versions.get(group.version);
    if (sampledBy?.runId !== prompt.runId) {
      throw new CovoteError(
        "unavailable",
        `group ${groupId} was sampled by ${group.version}, not by its run`,
      );
    }
    const rollout = rolloutCodec.encode({
      prompt,
      responses: group.responses,
      policyVersion: sampledBy.number,
      sampler: name,
      cost: group.cost,
      traceparent,
      refusal: group.refusal,
    });
    await enqueueSurely({ bus, clock }, "rollouts", rollout, {
      id: item.id,
      traceparent,
      signal: item.signal,
    });
    if (group.refusal === "") return meter.sampled(group, sampledAt - takenAt);
    meter.refused();
    log.warn({ group_id: groupId, reason: group.refusal }, "the model cannot sample this prompt");
  };

  let loop: ReturnType<Bus["work"]> | undefined;
  return {
    announced: serving.announced,
    load: async (model) => {
      const problem = unfitForTraining(engine);
      if (engine.load === undefined || problem !== null) {
        throw new CovoteError("failed_precondition", `the engine cannot serve a learner: ${problem}`);
      }
      remember(model.version, model);
      await engine.load(model);
      serving.now(model);
    },
    start: () => {
      if (unfitForTraining(engine) !== null) return;
      loop = bus.work("prompts", { concurrency, subjectToken: role }, handle);
    },
    drain: async (deadline) => loop?.drain(deadline.remainingMs()),
  };
}
