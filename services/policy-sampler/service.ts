/**
 * policy-sampler: pulls prompts, samples a group for each, and publishes the rollout.
 *
 * - A prompt is acknowledged when its rollout is in the aggregators' queue, under the group's id.
 * - New weights are taken up between groups: a group is sampled by one version, and says which.
 */
import type { Bus, WorkItem } from "../../lib/bus/bus.js";
import { followModel } from "../../lib/bus/model-versions.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { parseId } from "../../lib/core/ids.js";
import type { Logger } from "../../lib/core/logger.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { isChatMessage } from "../../lib/grm/chat.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { promptCodec, rolloutCodec } from "../../lib/wire/messages.js";
import { samplerMetrics } from "./metrics.js";
import { type PolicyApi, policyApi } from "./policy-api.js";
import { sampleGroup } from "./sample-group.js";
import { createServing } from "./serving.js";

/** How long a prompt holds a slot while its weights are on their way; then it goes back to the queue. */
const weightsPatienceMs = 10_000;

export interface PolicySamplerDependencies {
  bus: Bus;
  engine: GenerativeEngine;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

export interface PolicySamplerOptions {
  /** Name on the rollouts. */
  name: string;
  /** Groups sampled at a time. */
  concurrency: number;
}

export interface PolicySampler {
  readonly api: PolicyApi;
  stop(deadline: Deadline): Promise<void>;
}

export async function startPolicySampler(
  { bus, engine, log, metrics }: PolicySamplerDependencies,
  options: PolicySamplerOptions,
): Promise<PolicySampler> {
  const meter = samplerMetrics(metrics, engine);
  const serving = createServing();
  /** Version name → number and run; a group carries the number of the version that sampled it. */
  const numbers = new Map<string, { number: number; runId: string }>();

  const weights = await followModel(bus, {
    role: "policy",
    log,
    load: async (model) => {
      numbers.set(model.version, { number: model.number, runId: model.runId });
      await engine.load(model);
      serving.now(model.runId, model.number);
      meter.version(model.number);
    },
  });

  const handle = async (item: WorkItem): Promise<void> => {
    const prompt = promptCodec.decode(item.data);
    const groupId = parseId("prompt.group_id", prompt.groupId);
    const messages = (prompt.query?.messages ?? []).filter(isChatMessage);
    if (messages.length === 0) throw invalid("prompt.query", "has no messages");
    const patience = AbortSignal.any([item.signal, AbortSignal.timeout(weightsPatienceMs)]);
    await serving.until(prompt.runId, prompt.minPolicyVersion, patience);
    const { groupSize, temperature, maxTokens, seed } = prompt;
    const group = await sampleGroup(
      engine,
      { id: groupId, messages, groupSize, temperature, maxTokens, seed },
      item.signal,
    );
    const sampledBy = numbers.get(group.version);
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
      sampler: options.name,
      cost: group.cost,
      traceparent: prompt.traceparent,
    });
    await bus.enqueue("rollouts", rollout, { id: groupId, traceparent: prompt.traceparent });
    meter.sampled(group);
  };

  const loop = bus.work("prompts", { concurrency: options.concurrency }, handle);
  return {
    api: policyApi(engine),
    stop: async (deadline) => {
      await loop.drain(deadline.remainingMs());
      weights.close();
    },
  };
}
