/**
 * What a pool of inference servers does when one of them fails: the real aggregator and one grm-worker over a real
 * nats-server, its engine on four simulated servers over real HTTP.
 *
 * Groups arrive at random at a rate that keeps less than half of the servers' slots busy. In the middle of the load
 * one server begins to fail, and every group counts, also those that it had in hand:
 * - frozen, it accepts and never answers: the p99 of group latency against that of the healthy pool;
 * - with errors, it answers each request with 500: generations asked for against those that votes need.
 * No response may be without a reward in either case.
 */
import { type Bench, figure } from "./bench.js";
import { openBenchClient } from "./client.js";
import { startBenchCluster } from "./cluster.js";
import { type EndpointFault, openBenchEndpoints } from "./endpoints.js";
import { createLatencies } from "./load.js";
import { type BenchNatsServer, startBenchNatsServer } from "./nats-server.js";

const servers = { count: 4, slots: 16, latency: { fixedMs: 200, sigma: 0.5 } };
const shape = { responses: 4, votes: 8 };
/** Of the slots of all four servers. */
const busy = 0.4;
const warmUpSeconds = 6;
const seconds = 40;
/** Of the measured load, before the server fails. */
const healthyShare = 0.25;

interface Outcome {
  groups: number;
  p50: number;
  p99: number;
  nulls: number;
  /** Generations asked for beyond one for each vote, as a share of the votes. */
  extra: number;
}

export const benchEngines: Bench = async (say) => {
  const nats = await startBenchNatsServer();
  try {
    const healthy = await measure(nats, "none", say);
    const frozen = await measure(nats, "frozen", say);
    const errors = await measure(nats, "errors", say);
    const ratio = frozen.p99 / healthy.p99;
    const nulls = frozen.nulls + errors.nulls + healthy.nulls;
    const ms = (value: number): string => `${value.toFixed(0)} ms`;
    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
    return {
      title: `engines: four servers of ${servers.slots} slots, ${healthy.groups} groups of ${shape.votes} votes each time`,
      figures: [
        figure("group latency, all healthy, p50", ms(healthy.p50)),
        figure("group latency, all healthy, p99", ms(healthy.p99)),
        figure("group latency, one freezes, p99", ms(frozen.p99)),
        figure("the two p99, ratio", ratio.toFixed(2), "at most 2", ratio <= 2),
        figure("group latency, one answers 500, p99", ms(errors.p99)),
        figure("extra requests, all healthy", percent(healthy.extra)),
        figure("extra requests, one freezes", percent(frozen.extra)),
        figure("extra requests, one answers 500", percent(errors.extra), "at most 5 %", errors.extra <= 0.05),
        figure("responses without a reward", String(nulls), "0", nulls === 0),
      ],
      json: {
        engines_groups: healthy.groups,
        engines_healthy_p99_ms: Math.round(healthy.p99),
        engines_frozen_p99_ms: Math.round(frozen.p99),
        engines_errors_p99_ms: Math.round(errors.p99),
        engines_frozen_p99_ratio: Number(ratio.toFixed(3)),
        engines_extra_requests_share: {
          healthy: Number(healthy.extra.toFixed(4)),
          frozen: Number(frozen.extra.toFixed(4)),
          errors: Number(errors.extra.toFixed(4)),
        },
        engines_null_rewards: nulls,
      },
    };
  } finally {
    await nats.stop();
  }
};

async function measure(
  nats: BenchNatsServer,
  fault: EndpointFault,
  say: (line: string) => void,
): Promise<Outcome> {
  const endpoints = openBenchEndpoints(servers);
  const { slots, latency } = servers;
  const cluster = await startBenchCluster({
    natsUrl: nats.url,
    ...{ workers: 1, slots, latency, endpoints: await endpoints.urls() },
  });
  const client = openBenchClient(cluster.address);
  try {
    const meanSeconds = (latency.fixedMs / 1000) * Math.exp(latency.sigma ** 2 / 2);
    const perS = (busy * servers.count * slots) / meanSeconds / shape.votes;
    const load = (forSeconds: number) =>
      ({ t: "open", perS, shape, calls: Math.ceil(perS * forSeconds) }) as const;
    say(`${fault === "none" ? "all healthy" : fault}: ${perS.toFixed(0)} groups/s for ${seconds} s`);
    await client.run({ ...load(warmUpSeconds), seed: 1 });
    const before = await endpoints.requests();
    const running = client.run({ ...load(seconds), seed: 2 });
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds * healthyShare));
    await endpoints.fault(0, fault);
    const { latencies, nulls } = await running;
    const votes = latencies.size * shape.votes;
    const recorded = createLatencies();
    for (const ms of latencies.values()) recorded.record(ms);
    return {
      ...{ groups: latencies.size, nulls },
      p50: recorded.percentile(50),
      p99: recorded.percentile(99),
      extra: ((await endpoints.requests()) - before) / votes - 1,
    };
  } finally {
    await client.close();
    await cluster.close();
    await endpoints.close();
  }
}
