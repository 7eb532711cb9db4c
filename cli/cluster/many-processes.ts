/**
 * The cluster as processes of this machine: one per service, several grm-workers. They are supervised, write
 * their logs into the run's folder, and talk over NATS alone. Their configurations hold the NATS password, so they
 * are removed at the stop.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openBus } from "../../lib/bus/open-bus.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import { createRandom } from "../../lib/core/random.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { parseListenAddress } from "../../lib/host/listen.js";
import { createMetrics } from "../../lib/host/metrics.js";
import { busSettings } from "../../lib/runtime/nats-settings.js";
import { type Child, startChild } from "./child.js";
import type { Cluster } from "./cluster.js";
import { createLocalPool, type LocalMember } from "./local-pool.js";
import { scalesAsService, scalesHere, startLocalScaling } from "./local-scaling.js";
import type { ClusterOptions } from "./one-process.js";
import { rolesOf } from "./roles.js";

export interface ProcessClusterOptions extends ClusterOptions {
  /** For configurations and logs of the services. */
  dir: string;
}

/** A cluster whose processes can be seen, for `covote up` and for tests that kill them. */
export interface ProcessCluster extends Cluster {
  children(): readonly { id: string; service: string; pid: number | null }[];
}

export async function openProcessCluster(options: ProcessClusterOptions): Promise<ProcessCluster> {
  const { config, natsUrl, clock, log, dir } = options;
  const children: Child[] = [];
  const failed = deferred<never>();
  failed.promise.catch(() => undefined);
  for (const folder of ["config", "logs"]) mkdirSync(join(dir, folder), { recursive: true });
  const configOf = (id: string): string => join(dir, "config", `${id}.json`);
  let stopped = false;

  const writeConfig = (id: string, ports: Ports): string => {
    const file = configOf(id);
    writeFileSync(file, JSON.stringify(childConfig(config, natsUrl, ports), null, 2), { mode: 0o600 });
    return file;
  };
  const start = (service: (typeof stopOrder)[number], id: string, ports: Ports): Child => {
    const configFile = writeConfig(id, ports);
    const child = startChild({
      service,
      id,
      configFile,
      logFile: join(dir, "logs", `${id}.log`),
      drainTimeoutMs: config.cluster.drainTimeoutMs,
      job: service === "grpo-learner",
      clock,
      log,
    });
    children.push(child);
    return child;
  };

  const metricsPort = portsFrom(config.metrics.port);
  const free = (): Ports => ({ grpc: "127.0.0.1:0", http: null, metricsPort: metricsPort() });
  const aggregator = start("vote-aggregator", "vote-aggregator", {
    grpc: config.grpc.address,
    http: config.http.address,
    metricsPort: metricsPort(),
  });
  const roles = rolesOf(config);
  if (roles.includes("meta-rm")) start("meta-rm", "meta-rm", free());
  const startWorker = (n: number, ports: Ports): Child => start("grm-worker", `grm-worker-${n}`, ports);
  const workers = Array.from({ length: config.grm.workers }, (_, i) => startWorker(i + 1, free()));
  const sampler = roles.includes("policy") ? start("policy-sampler", "policy-sampler", free()) : null;
  if (scalesAsService(config)) start("co-scaler", "co-scaler", free());
  for (const child of children) child.done.catch(failed.reject);
  // A process that is restarted has to be found where it was.
  for (const { id, ready } of children) {
    void ready.then(({ grpc, http, metrics }) => {
      if (stopped) return;
      const { port } = parseListenAddress("metrics", metrics);
      writeConfig(id, { grpc: grpc ?? "127.0.0.1:0", http, metricsPort: port });
    }, ignoreFailure);
  }

  const stopChildren = async (): Promise<void> => {
    for (const service of stopOrder) {
      const these = children.filter((child) => child.service === service);
      await Promise.all(these.map((child) => child.stop()));
    }
    stopped = true;
    for (const { id } of children) rmSync(configOf(id), { force: true });
  };
  const open = async () => {
    const [rewards, policy] = await Promise.all([
      addressOf(aggregator),
      sampler === null ? null : addressOf(sampler),
    ]);
    const endpoints = await Promise.all(
      children.map(async ({ id, ready }) => {
        return { ...(await ready), name: id };
      }),
    );
    const bus = await openBus({
      ...busSettings(config, natsUrl),
      name: "covote-cli",
      random: createRandom(config.run.seed),
      clock,
    });
    return { rewards, policy, endpoints, bus };
  };
  const opened = await open().catch(async (cause: unknown) => {
    await stopChildren();
    throw cause;
  });

  /** Beyond those of the start: on free ports, which its metrics are found by in its log. */
  const addWorker = (n: number): LocalMember => {
    const child = startWorker(n, { grpc: "127.0.0.1:0", http: null, metricsPort: 0 });
    child.done.catch(failed.reject);
    return child;
  };
  const coScaler = scalesHere(config)
    ? await startLocalScaling({
        ...{ bus: opened.bus, clock, config },
        log: log.child({ service: "co-scaler" }),
        metrics: createMetrics({ service: "co-scaler" }),
        workers: createLocalPool({ members: workers, start: addWorker, log }),
      })
    : null;

  let stopping: Promise<void> | null = null;
  const stopAll = async (): Promise<void> => {
    await coScaler?.stop(deadlineIn(clock, 1000));
    await opened.bus.drain(1000);
    await stopChildren();
  };
  return {
    natsUrl,
    ...opened,
    failed: failed.promise,
    children: () => children.map((child) => ({ id: child.id, service: child.service, pid: child.pid() })),
    startLearner: async () => {
      const learner = start("grpo-learner", "grpo-learner", free());
      await learner.ready;
      return { finished: learner.done };
    },
    stop: () => {
      stopping ??= stopAll();
      return stopping;
    },
  };
}

/** Down the stream, so that what a service has accepted still finds the services that finish it. */
const stopOrder = [
  "co-scaler",
  "grpo-learner",
  "policy-sampler",
  "vote-aggregator",
  "grm-worker",
  "meta-rm",
] as const;

/** `done` and `failed` tell of it. */
function ignoreFailure(): void {}

interface Ports {
  grpc: string;
  http: string | null;
  metricsPort: number;
}

function childConfig(config: CovoteConfig, natsUrl: string, ports: Ports): unknown {
  return {
    ...config,
    nats: { ...config.nats, url: natsUrl },
    grpc: { ...config.grpc, address: ports.grpc },
    http: { ...config.http, address: ports.http },
    metrics: { ...config.metrics, port: ports.metricsPort },
  };
}

/** The configured port and those above it; free ones when it is 0. */
function portsFrom(first: number): () => number {
  let next = first;
  return () => (first === 0 ? 0 : next++);
}

async function addressOf(child: Child): Promise<string> {
  const { grpc } = await child.ready;
  if (grpc === null) throw new CovoteError("internal", `${child.id} has no gRPC address`);
  return grpc;
}
