/**
 * A reward cluster for benchmarks: the real vote-aggregator and grm-workers over a real nats-server, asked over
 * gRPC; only the engines are simulated.
 */
import { openBus } from "../lib/bus/open-bus.js";
import { systemClock } from "../lib/core/clock.js";
import { deadlineIn } from "../lib/core/deadline.js";
import { silentLogger } from "../lib/core/logger.js";
import { createRandom } from "../lib/core/random.js";
import { createSimulatedEngine, type SimulatedEngine } from "../lib/engine/simulated.js";
import type { SimulatedLatency } from "../lib/engine/simulated-fate.js";
import { postcardsJudgment } from "../lib/engine/simulated-judge.js";
import { grammars } from "../lib/grm/grammar.js";
import { createGrpcServer } from "../lib/host/grpc.js";
import { createHealth } from "../lib/host/health.js";
import { formatAddress } from "../lib/host/listen.js";
import { createMetrics } from "../lib/host/metrics.js";
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
  /** Where the aggregator answers Score calls. */
  readonly address: string;
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
  return {
    engines,
    address: formatAddress(server.address),
    tapVotes: (onBytes) => {
      const votes = workerBus.subjects.votes(aggregatorBus.id);
      const tap = workerBus.subscribe(votes, {}, (data) => onBytes(data.length));
      return tap.close;
    },
    close: async () => {
      const deadline = deadlineIn(clock, stopMs);
      await server.stop(deadline);
      await aggregator.stop(deadline);
      for (const worker of workers) await worker.stop(deadline);
      await workerBus.close();
      await aggregatorBus.close();
    },
  };
}

/** A vote's id begins with the request's, and goes on with a character that no request id has. */
function requestIdOf(voteId: string): string {
  return /^[A-Za-z0-9_-]*/.exec(voteId)?.[0] ?? "";
}

/** The responses of a postcards prompt: what stands between `response i` and the full stop. */
function panelOf({ messages }: { messages: readonly { content: string }[] }): readonly string[] {
  const known = panels.get(messages);
  if (known !== undefined) return known;
  const text = messages[0]?.content ?? "";
  const panel = [...text.matchAll(/ response \d+ (.*?) ?\.(?= response|$)/g)].map((match) => match[1] ?? "");
  panels.set(messages, panel);
  return panel;
}

/** Votes of one ballot bring the same messages; the engine's own work should not show. */
const panels = new WeakMap<object, readonly string[]>();
