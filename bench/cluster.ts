/**
 * A reward cluster for benchmarks: the real vote-aggregator and grm-workers over a real nats-server, asked over
 * gRPC; only the engines are simulated.
 */
import { openBus } from "../lib/bus/open-bus.js";
import { systemClock } from "../lib/core/clock.js";
import { deadlineIn } from "../lib/core/deadline.js";
import { newId } from "../lib/core/ids.js";
import { silentLogger } from "../lib/core/logger.js";
import { createRandom, type Random } from "../lib/core/random.js";
import { createSimulatedEngine, type SimulatedEngine } from "../lib/engine/simulated.js";
import type { SimulatedLatency } from "../lib/engine/simulated-fate.js";
import { postcardsJudgment } from "../lib/engine/simulated-judge.js";
import { grammars } from "../lib/grm/grammar.js";
import { createGrpcServer } from "../lib/host/grpc.js";
import { createGrpcClient } from "../lib/host/grpc-client.js";
import { createHealth } from "../lib/host/health.js";
import { formatAddress } from "../lib/host/listen.js";
import { createMetrics } from "../lib/host/metrics.js";
import {
  RewardServiceService,
  type ScoreRequest,
  type ScoreResponse,
} from "../lib/wire/gen/covote/v1/reward.js";
import { type RunningService, startGrmWorker } from "../services/grm-worker/service.js";
import { startVoteAggregator } from "../services/vote-aggregator/service.js";

export interface BenchClusterOptions {
  natsUrl: string;
  workers: number;
  slots: number;
  latency: Partial<SimulatedLatency>;
  /** Told when a vote leaves its engine: the request's id, and how long it was served, in milliseconds. */
  served?: (requestId: string, ms: number) => void;
}

export interface BenchCluster {
  readonly engines: readonly SimulatedEngine[];
  /** Calls back with the size of every vote message, in bytes, until told to stop. */
  tapVotes(onBytes: (bytes: number) => void): () => void;
  score(request: ScoreRequest): Promise<ScoreResponse>;
  close(): Promise<void>;
}

/** As a configuration of the product has them by default. */
const judging = {
  votes: 4,
  metaKeep: null,
  temperature: 1,
  panelLimit: 4,
  votesPerBallot: 4,
  deadlineMs: 60_000,
  streamConcurrency: 64,
};
const maxInFlight = 1024;
const stopMs = 10_000;
let clusters = 0;

export async function startBenchCluster(options: BenchClusterOptions): Promise<BenchCluster> {
  const clock = systemClock();
  const random = createRandom(1);
  clusters += 1;
  const bus = (name: string) =>
    openBus({ servers: options.natsUrl, cluster: `bench${clusters}`, name, random, clock });
  const aggregatorBus = await bus("vote-aggregator");
  const workerBus = await bus("grm-worker");
  const log = silentLogger;
  const aggregator = await startVoteAggregator(
    { bus: aggregatorBus, clock, random, log, metrics: createMetrics({ service: "vote-aggregator" }) },
    {
      judge: { maxInFlight, ballotPatienceMs: 30_000, maxPanel: 16 },
      meta: { batch: 64, lingerMs: 2, patienceMs: 5000 },
      rollouts: { concurrency: maxInFlight, votesPerBallot: judging.votesPerBallot },
      defaults: judging,
    },
  );
  const engines: SimulatedEngine[] = [];
  const workers: RunningService[] = [];
  for (let i = 0; i < options.workers; i++) {
    const engine = createSimulatedEngine({
      respond: postcardsJudgment({ panelOf, quality: (text) => (text.length % 10) / 9 }),
      latency: options.latency,
      slots: options.slots,
      seed: i,
      left: ({ id }, stay) => options.served?.(requestIdOf(id), stay.servedMs),
    });
    engines.push(engine);
    workers.push(
      await startGrmWorker(
        {
          bus: workerBus,
          engine,
          grammar: grammars.postcards,
          clock,
          log,
          metrics: createMetrics({ service: "w" }),
        },
        { name: `worker-${i}`, votesPerBallot: judging.votesPerBallot },
      ),
    );
  }
  const server = await createGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    services: [aggregator.api],
    log,
    health: createHealth(),
    clock,
  });
  const client = createGrpcClient({ address: formatAddress(server.address), what: "reward service" });
  await client.connected(5000);
  return {
    engines,
    tapVotes: (onBytes) => {
      const votes = workerBus.subjects.votes(aggregatorBus.id);
      const tap = workerBus.subscribe(votes, {}, (data) => onBytes(data.length));
      return tap.close;
    },
    score: (request) => client.unary(RewardServiceService.score, request, { timeoutMs: judging.deadlineMs }),
    close: async () => {
      const deadline = deadlineIn(clock, stopMs);
      client.close();
      await server.stop(deadline);
      await aggregator.stop(deadline);
      for (const worker of workers) await worker.stop(deadline);
      await workerBus.close();
      await aggregatorBus.close();
    },
  };
}

const words = ["hey", "friend", "we", "saw", "boat", "and", "fish", "grateful", "two", "blue", "tram", "?"];

/** A group of postcards as the policy would send it; no two groups are equal. */
export function scoreRequest(
  random: Random,
  options: { responses: number; votes: number; seed: number },
): ScoreRequest {
  const card = (): string => Array.from({ length: 9 }, () => random.pick(words)).join(" ");
  return {
    requestId: `bench-${newId()}`,
    query: { messages: [{ role: "user", content: "query to friend from river be question thanks ." }] },
    responses: Array.from({ length: options.responses }, () => ({ text: card(), tokens: undefined })),
    options: {
      votes: options.votes,
      metaKeep: 0,
      temperature: undefined,
      seed: options.seed,
      deadlineMs: undefined,
      panelLimit: undefined,
    },
    labels: {},
  };
}

/** A vote's id begins with the request's, and goes on with a character that no request id has. */
function requestIdOf(voteId: string): string {
  return /^[A-Za-z0-9_-]*/.exec(voteId)?.[0] ?? "";
}

/** The responses of a postcards prompt: what stands between `response i` and the full stop. */
function panelOf(request: { messages: readonly { content: string }[] }): string[] {
  return [...(request.messages[0]?.content ?? "").matchAll(/ response \d+ (.*?) ?\.(?= response|$)/g)].map(
    (match) => match[1] ?? "",
  );
}
