/** Measures the policy that the cluster serves: one sampled response for each held-out query, and the oracle. */
import type { ChannelCredentials } from "@grpc/grpc-js";
import { persist } from "../../lib/bus/enqueue-surely.js";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import { newId } from "../../lib/core/ids.js";
import { seedFrom } from "../../lib/core/random.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { createGrpcClient, type GrpcClient } from "../../lib/host/grpc-client.js";
import { PolicyServiceService, type SampleResponse } from "../../lib/wire/gen/covote/v1/policy.js";
import { type Judgment, RewardServiceService } from "../../lib/wire/gen/covote/v1/reward.js";
import { fromWireNullReason } from "../../lib/wire/null-reason.js";
import type { Cluster } from "../cluster/cluster.js";
import type { Postcard } from "../run/records.js";
import type { World } from "./world.js";

export interface Measurement {
  /** Mean oracle utility over the held-out queries, 0..1. */
  utility: number;
  policyVersion: string;
  /** The first queries, judged: what a reader sees. */
  cards: Postcard[];
}

export interface Gauge {
  measure(progress: (done: number, total: number) => void): Promise<Measurement>;
  /** Resolves when the policy served is this version. */
  serves(version: string, timeoutMs: number): Promise<void>;
  close(): void;
}

const cardCount = 3;
/** For one sample or judgment, while a service is away. Milliseconds. */
const patienceMs = 60_000;
const concurrency = 32;

export function createGauge(
  cluster: Cluster,
  config: CovoteConfig,
  world: World,
  clock: Clock,
  credentials?: ChannelCredentials,
): Gauge {
  const { policy: address } = cluster;
  if (address === null) throw new CovoteError("internal", "this cluster serves no policy");
  const policy = createGrpcClient({
    address,
    what: "policy service",
    clock,
    ...(credentials && { credentials }),
  });
  const rewards = createGrpcClient({
    address: cluster.rewards,
    what: "reward service",
    clock,
    ...(credentials && { credentials }),
  });
  const { temperature, maxTokens } = config.policy;
  const closing = new AbortController();

  /** A service that is being started again is waited for; the same seed gives the same sample. */
  const patiently = <T>(call: () => Promise<T>): Promise<T> => {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(patienceMs)]);
    let last: CovoteError | null = null;
    return persist(call, { clock, signal, failed: (error) => (last = error) }).catch((thrown: unknown) => {
      throw CovoteError.from(thrown).code === "cancelled" ? (last ?? thrown) : thrown;
    });
  };
  const sample = (query: string, index: number): Promise<SampleResponse> =>
    patiently(() =>
      policy.unary(PolicyServiceService.sample, {
        query: { messages: [{ role: "user", content: query }] },
        groupSize: 1,
        temperature,
        maxTokens,
        seed: seedFrom(config.run.seed, "held-out", index),
      }),
    );

  return {
    measure: async (progress) => {
      const { heldOut } = world;
      const answers = await inParallel(heldOut, concurrency, sample, progress);
      const texts = answers.map((answer) => answer.responses[0]?.text ?? "");
      const utilities = heldOut.map((query, i) => world.utility(query, texts[i] ?? ""));
      const cards = await Promise.all(
        heldOut
          .slice(0, cardCount)
          .map((query, i) => patiently(() => judgeCard(rewards, world, query, texts[i] ?? "", config))),
      );
      return { utility: mean(utilities), policyVersion: answers[0]?.policyVersion ?? "", cards };
    },
    serves: async (version, timeoutMs) => {
      const until = clock.monotonic() + timeoutMs;
      for (;;) {
        const { policyVersion } = await sample(world.heldOut[0] ?? "", 0);
        if (policyVersion === version) return;
        if (clock.monotonic() > until) {
          throw new CovoteError("deadline_exceeded", `the sampler serves ${policyVersion}, not ${version}`);
        }
        await clock.sleep(20);
      }
    },
    close: () => {
      closing.abort();
      policy.close();
      rewards.close();
    },
  };
}

async function judgeCard(
  rewards: GrpcClient,
  world: World,
  query: string,
  response: string,
  config: CovoteConfig,
): Promise<Postcard> {
  const { judgmentId } = await rewards.unary(RewardServiceService.score, {
    requestId: `card-${newId()}`,
    query: { messages: [{ role: "user", content: query }] },
    responses: [{ text: response, tokens: undefined }],
    options: {
      votes: undefined,
      metaKeep: undefined,
      temperature: undefined,
      seed: config.run.seed,
      deadlineMs: undefined,
      panelLimit: undefined,
    },
    labels: {},
  });
  const { judgment } = await rewards.unary(RewardServiceService.getJudgment, { judgmentId });
  return toPostcard(query, response, world.utility(query, response), judgment);
}

function toPostcard(
  query: string,
  response: string,
  utility: number | null,
  judgment: Judgment | undefined,
): Postcard {
  const reward = judgment?.outcome?.rewards[0];
  const kept = (judgment?.votes ?? []).filter((vote) => vote.kept);
  return {
    query,
    response,
    utility,
    reward: reward?.value ?? null,
    null_reason: reward === undefined ? null : (fromWireNullReason(reward.nullReason) ?? null),
    principles: kept[0]?.principles ?? "",
    critique: kept[0]?.critique ?? "",
    scores: kept.flatMap((vote) => vote.scores.slice(0, 1)),
  };
}

/** Calls at most `limit` at a time; answers in the order of the items. */
async function inParallel<T, R>(
  items: readonly T[],
  limit: number,
  call: (item: T, index: number) => Promise<R>,
  progress: (done: number, total: number) => void,
): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  let done = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await call(items[index] as T, index);
      progress(++done, items.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  return results;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
