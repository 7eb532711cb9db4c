/**
 * A reward cluster for benchmarks: the real vote-aggregator and grm-workers over a real nats-server, asked over
 * gRPC; only the engines are simulated. The aggregator has this thread and the workers have one of their own.
 */
import { openBus } from "../lib/bus/open-bus.js";
import { systemClock } from "../lib/core/clock.js";
import { deadlineIn } from "../lib/core/deadline.js";
import { silentLogger } from "../lib/core/logger.js";
import { createRandom } from "../lib/core/random.js";
import type { SimulatedLatency } from "../lib/engine/simulated-fate.js";
import { grammars } from "../lib/grm/grammar.js";
import { createGrpcServer } from "../lib/host/grpc.js";
import { createHealth } from "../lib/host/health.js";
import { formatAddress } from "../lib/host/listen.js";
import { createMetrics } from "../lib/host/metrics.js";
import { startVoteAggregator } from "../services/vote-aggregator/service.js";
import { type Judges, openJudges } from "./judges.js";

export interface BenchClusterOptions {
  natsUrl: string;
  workers: number;
  slots: number;
  latency: Partial<SimulatedLatency>;
  /** Servers for one worker instead of simulated engines; see judges.ts. */
  endpoints?: readonly string[];
}

export interface BenchCluster {
  readonly judges: Judges;
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
  const log = silentLogger;
  clusters += 1;
  const cluster = `bench${clusters}`;
  const bus = await openBus({ servers: options.natsUrl, cluster, name: "vote-aggregator", random, clock });
  const aggregator = await startVoteAggregator(
    { bus, clock, random, log, metrics: createMetrics({ service: "vote-aggregator" }) },
    {
      judge: { maxInFlight, ballotPatienceMs: 30_000, maxPanel: 16 },
      meta: { batch: 64, lingerMs: 2, patienceMs: 5000 },
      rollouts: {
        concurrency: maxInFlight,
        votesPerBallot: judging.votesPerBallot,
        grammar: grammars.postcards,
      },
      defaults: judging,
      maxBodyBytes: 1 << 20,
    },
  );
  const judges = openJudges({ ...options, cluster, votesPerBallot: judging.votesPerBallot });
  await judges.ready();
  const server = await createGrpcServer({
    address: { host: "127.0.0.1", port: 0 },
    services: [aggregator.api],
    log,
    health: createHealth(),
    clock,
  });
  return {
    judges,
    address: formatAddress(server.address),
    tapVotes: (onBytes) =>
      bus.subscribe(bus.subjects.votes(bus.id), {}, (data) => onBytes(data.length)).close,
    close: async () => {
      const deadline = deadlineIn(clock, stopMs);
      await server.stop(deadline);
      await aggregator.stop(deadline);
      await judges.stop();
      await bus.close();
    },
  };
}
