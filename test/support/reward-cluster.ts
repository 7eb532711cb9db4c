/**
 * A reward cluster in the test's process: the real vote-aggregator, grm-workers and meta RM over a real
 * nats-server, each on a connection of its own, asked over gRPC. Only the engines are simulated.
 *
 * Responses are `good N`, with N from 0 to 9: the simulated judge gives N + 1 points. `held` engines answer only
 * when they are told to.
 */
import type { BusOptions, NatsBus } from "../../lib/bus/open-bus.js";
import { tracedBus } from "../../lib/bus/traced-bus.js";
import { systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { type Deferred, deferred } from "../../lib/core/deferred.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createRandom } from "../../lib/core/random.js";
import type { Tracer } from "../../lib/core/tracer.js";
import type { GenerativeEngine, ScalarEngine } from "../../lib/engine/engine.js";
import {
  createSimulatedEngine,
  type SimulatedEngine,
  type SimulatedEngineOptions,
} from "../../lib/engine/simulated.js";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { type Grammar, grammars } from "../../lib/grm/grammar.js";
import { createGrpcServer } from "../../lib/host/grpc.js";
import { createGrpcClient, type GrpcClient } from "../../lib/host/grpc-client.js";
import { createHealth } from "../../lib/host/health.js";
import { createHttpServer } from "../../lib/host/http.js";
import { formatAddress } from "../../lib/host/listen.js";
import { createMetrics } from "../../lib/host/metrics.js";
import type { ScoreRequest } from "../../lib/wire/gen/covote/v1/reward.js";
import { startGrmWorker } from "../../services/grm-worker/service.js";
import { startMetaRm } from "../../services/meta-rm/service.js";
import type { JudgeOptions } from "../../services/vote-aggregator/judge.js";
import type { JudgingDefaults } from "../../services/vote-aggregator/reward-api.js";
import { startVoteAggregator, type VoteAggregator } from "../../services/vote-aggregator/service.js";
import { freshCluster, type TestNats } from "./nats.js";

export interface RewardClusterOptions {
  nats: TestNats;
  /** One grm-worker each. */
  engines?: readonly GenerativeEngine[];
  meta?: ScalarEngine;
  /** Of workers and meta RM; default postcards. */
  grammar?: Grammar;
  judge?: Partial<JudgeOptions>;
  defaults?: Partial<JudgingDefaults>;
  cluster?: string;
  ackWaitMs?: number;
  /** Bounds of the votes that a co-scaler may decide for. */
  voteBudget?: { min: number; max: number };
  /** Services report their load so often; default: never. */
  loadIntervalMs?: number;
  /** Of all parts; default: nothing is traced. */
  tracer?: Tracer;
}

export interface RewardCluster extends AsyncDisposable {
  readonly cluster: string;
  readonly aggregator: VoteAggregator;
  readonly client: GrpcClient;
  /** Of its HTTP server. */
  readonly url: string;
  /** A connection of the test's own. */
  readonly bus: NatsBus;
  /** The workers' connections, in the order of the engines. */
  readonly workerBuses: readonly NatsBus[];
  addWorker(engine: GenerativeEngine): Promise<{ stop(): Promise<void> }>;
}

/** What a request that says nothing about it gets. */
export const defaults: JudgingDefaults = {
  votes: 4,
  metaKeep: null,
  temperature: 1,
  panelLimit: 4,
  votesPerBallot: 2,
  deadlineMs: 15_000,
  streamConcurrency: 8,
};

export async function openRewardCluster(options: RewardClusterOptions): Promise<RewardCluster> {
  const { nats } = options;
  const clock = systemClock();
  const cluster = options.cluster ?? freshCluster();
  const { ackWaitMs = 500 } = options;
  const queues: BusOptions["queues"] = {
    ballots: { ackWaitMs },
    rollouts: { ackWaitMs },
    prompts: { ackWaitMs },
    experience: { ackWaitMs },
  };
  const { tracer } = options;
  const connect = async (name: string): Promise<NatsBus> => {
    const bus = await nats.bus({ cluster, name, queues, random: createRandom(7) });
    return tracer === undefined ? bus : tracedBus(bus, tracer);
  };
  const { grammar = grammars.postcards } = options;
  const shared = { clock, log: silentLogger, grammar, ...(tracer && { tracer }) };
  const loadOf = (host: string) =>
    options.loadIntervalMs === undefined ? {} : { load: { host, intervalMs: options.loadIntervalMs } };
  const bus = await connect("test");
  const workerBuses: NatsBus[] = [];
  const stops: (() => Promise<void>)[] = [];

  const addWorker = async (engine: GenerativeEngine): Promise<{ stop(): Promise<void> }> => {
    const name = `worker-${workerBuses.length}`;
    const workerBus = await connect(name);
    workerBuses.push(workerBus);
    const worker = await startGrmWorker(
      { ...shared, bus: workerBus, engine, metrics: createMetrics({ service: name }) },
      { name, votesPerBallot: 2, groups: 2, ...loadOf(name) },
    );
    const stop = (): Promise<void> => worker.stop(deadlineIn(clock, 2000));
    stops.push(stop);
    return { stop };
  };
  for (const engine of options.engines ?? []) await addWorker(engine);
  if (options.meta !== undefined) {
    const metaBus = await connect("meta-rm");
    const metrics = createMetrics({ service: "meta-rm" });
    const metaRm = await startMetaRm(
      { ...shared, bus: metaBus, engine: options.meta, metrics },
      { batch: 16, ...loadOf("meta-rm") },
    );
    stops.push(() => metaRm.stop(deadlineIn(clock, 2000)));
  }
  const aggregator = await startVoteAggregator(
    {
      bus: await connect("vote-aggregator"),
      clock,
      random: createRandom(1),
      log: silentLogger,
      ...(tracer && { tracer }),
      metrics: createMetrics({ service: "vote-aggregator" }),
    },
    {
      judge: {
        ...{ maxInFlight: 64, ballotPatienceMs: 5000, maxPanel: 4, scoresSteps: grammar.scoresSteps },
        ...options.judge,
      },
      meta: { batch: 16, lingerMs: 1, patienceMs: 1000 },
      rollouts: { concurrency: 64, votesPerBallot: 2, grammar },
      defaults: { ...defaults, ...options.defaults },
      maxBodyBytes: 64 * 1024,
      ...loadOf("vote-aggregator"),
      ...(options.voteBudget === undefined ? {} : { voteBudget: options.voteBudget }),
    },
  );
  const server = await createGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    services: [aggregator.api],
    log: silentLogger,
    health: createHealth(),
    ...(tracer && { tracer }),
    clock,
  });
  const http = await createHttpServer({
    ...{ address: { host: "127.0.0.1", port: 0 }, field: "http.address", log: silentLogger, clock },
    ...{ routes: aggregator.routes, maxInFlight: 64 },
  });
  const client = createGrpcClient({ address: formatAddress(server.address), what: "reward service" });
  return {
    cluster,
    aggregator,
    client,
    url: `http://${formatAddress(http.address)}`,
    bus,
    workerBuses,
    addWorker,
    [Symbol.asyncDispose]: async () => {
      client.close();
      await http.stop(deadlineIn(clock, 500));
      await server.stop(deadlineIn(clock, 500));
      await aggregator.stop(deadlineIn(clock, 500));
      for (const stop of stops) await stop();
    },
  };
}

/** The responses of a postcards prompt: what stands between `response i` and the full stop. */
export function panelOf(request: { messages: readonly { content: string }[] }): string[] {
  const text = request.messages[0]?.content ?? "";
  return [...text.matchAll(/ response \d+ (.*?) ?\.(?= response|$)/g)].map((match) => match[1] ?? "");
}

/** 0..1 from the number in the text. */
export function qualityOf(response: string): number {
  return Number(/\d/.exec(response)?.[0] ?? 0) / 9;
}

export function votingEngine(
  options: Partial<SimulatedEngineOptions> & { noise?: number } = {},
): SimulatedEngine {
  const { noise = 0, ...rest } = options;
  return createSimulatedEngine({
    respond: postcardsJudgment({ panelOf, quality: qualityOf, noise }),
    slots: 8,
    version: { number: 1, version: "grm-1" },
    ...rest,
  });
}

export interface HeldEngine extends GenerativeEngine {
  /** Resolves when `count` requests wait. */
  waiting(count: number): Promise<void>;
  /** Answers what waits, and from now on everything at once. */
  release(): void;
  readonly held: number;
  /** Requests that were cancelled while they waited. */
  readonly cancelled: number;
  readonly started: number;
}

/** An engine that keeps its requests until it is told to answer them. */
export function heldEngine(inner: GenerativeEngine): HeldEngine {
  const open = deferred<void>();
  const checks = new Set<{ count: number; reached: Deferred<void> }>();
  let held = 0;
  let cancelled = 0;
  let started = 0;
  return {
    ...inner,
    generate: async (request, opts) => {
      started++;
      held++;
      for (const check of checks) if (held >= check.count) check.reached.resolve();
      try {
        const { signal } = opts;
        await new Promise<void>((resolve, reject) => {
          const abort = (): void => reject(signal?.reason);
          if (signal?.aborted) return abort();
          signal?.addEventListener("abort", abort, { once: true });
          void open.promise.then(resolve);
        });
      } catch (cause) {
        cancelled++;
        throw cause;
      } finally {
        held--;
      }
      return inner.generate(request, opts);
    },
    waiting: (count) => {
      const reached = deferred<void>();
      checks.add({ count, reached });
      if (held >= count) reached.resolve();
      return reached.promise;
    },
    release: () => open.resolve(),
    get held() {
      return held;
    },
    get cancelled() {
      return cancelled;
    },
    get started() {
      return started;
    },
  };
}

/** A request with sensible answers; `options` as on the wire, unset ones are the server's defaults. */
export function scoreRequest(
  over: Partial<Omit<ScoreRequest, "options" | "responses">> & {
    texts?: readonly string[];
    options?: Partial<NonNullable<ScoreRequest["options"]>>;
  } = {},
): ScoreRequest {
  const { texts = ["good 2", "good 8", "good 5"], options, ...rest } = over;
  return {
    requestId: "",
    query: { messages: [{ role: "user", content: "query to friend from river be thanks ." }] },
    responses: texts.map((text) => ({ text, tokens: undefined })),
    labels: {},
    ...rest,
    options: {
      votes: undefined,
      metaKeep: undefined,
      temperature: undefined,
      seed: undefined,
      deadlineMs: undefined,
      panelLimit: undefined,
      ...options,
    },
  };
}

/** Resolves when the condition holds; rejects after `withinMs` with what was waited for. */
export async function until(what: string, holds: () => boolean, withinMs = 10_000): Promise<void> {
  const untilMs = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > untilMs) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
