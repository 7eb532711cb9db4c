/** The whole cluster in this process: every service a stage of one host, engines and trainer in threads. */
import { openBus } from "../../lib/bus/open-bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import { createRandom } from "../../lib/core/random.js";
import type { LedgerBalance } from "../../lib/grpo/ledger.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { createHost, type Host } from "../../lib/host/host.js";
import { createMetrics } from "../../lib/host/metrics.js";
import { busSettings } from "../../lib/runtime/nats-settings.js";
import { createRuntime } from "../../lib/runtime/runtime.js";
import { mountCoScaler } from "../../services/co-scaler/mount.js";
import { mountGrmWorker } from "../../services/grm-worker/mount.js";
import { mountGrpoLearner } from "../../services/grpo-learner/mount.js";
import { openRunPrompts } from "../../services/grpo-learner/run-prompts.js";
import { mountMetaRm } from "../../services/meta-rm/mount.js";
import { mountPolicySampler } from "../../services/policy-sampler/mount.js";
import { mountVoteAggregator } from "../../services/vote-aggregator/mount.js";
import type { Cluster } from "./cluster.js";
import { scalesAsService, scalesHere, startLocalScaling } from "./local-scaling.js";
import { rolesOf } from "./roles.js";
import { mountWorkerPool } from "./worker-pool.js";

export interface ClusterOptions {
  config: CovoteConfig;
  natsUrl: string;
  clock: Clock;
  log: Logger;
  env: Readonly<Record<string, string | undefined>>;
}

export async function openOneProcessCluster({
  config,
  natsUrl,
  clock,
  log,
  env,
}: ClusterOptions): Promise<Cluster> {
  const metrics = createMetrics({ service: "covote", process: true });
  const { drainTimeoutMs } = config.cluster;
  const failed = deferred<never>();
  failed.promise.catch(() => undefined);
  const watch = (host: Host): Host => {
    void host.done.then((end) => {
      if (end.t === "failed") failed.reject(end.cause);
    });
    return host;
  };

  const host = watch(createHost({ name: "covote", log, clock, drainTimeoutMs, metrics }));
  const runtime = createRuntime({ host, config, clock, natsUrl, env });
  const roles = rolesOf(config);
  if (roles.includes("meta-rm")) mountMetaRm(runtime);
  const workers = scalesHere(config) ? mountWorkerPool(runtime, log) : null;
  if (workers === null) {
    for (let n = 1; n <= config.grm.workers; n++) mountGrmWorker(runtime, { name: `grm-worker-${n}` });
  }
  mountVoteAggregator(runtime);
  if (roles.includes("policy")) mountPolicySampler(runtime);
  if (scalesAsService(config)) mountCoScaler(runtime);
  await runtime.start();
  const address = runtime.grpcAddress();
  if (address === null) throw new CovoteError("internal", "no service of the cluster speaks gRPC");
  const bus = await openBus({
    ...busSettings(config, natsUrl),
    name: "covote-cli",
    random: createRandom(config.run.seed),
    clock,
  }).catch(async (cause: unknown) => {
    await host.stop("the command line could not connect");
    throw cause;
  });

  const coScaler =
    workers === null
      ? null
      : await startLocalScaling({
          ...{ bus, clock, config },
          log: log.child({ service: "co-scaler" }),
          metrics: metrics.forService("co-scaler"),
          workers: workers(),
        });

  let learner: Host | null = null;
  const startLearner = async (): Promise<{ finished: Promise<void> }> => {
    const name = "grpo-learner";
    const ports = { ...config, metrics: { ...config.metrics, port: 0 } };
    learner = watch(createHost({ name, log, clock, drainTimeoutMs, metrics: metrics.forService(name) }));
    const learning = createRuntime({ host: learner, config: ports, clock, natsUrl, env });
    const finished = deferred<LedgerBalance>();
    finished.promise.catch(() => undefined);
    mountGrpoLearner(learning, {
      prompts: openRunPrompts(config, learning.grammar),
      finished,
    });
    await learning.start();
    return { finished: finished.promise.then(() => undefined) };
  };

  let stopping: Promise<void> | null = null;
  const stopAll = async (): Promise<void> => {
    await learner?.stop("the command has ended");
    await coScaler?.stop(deadlineIn(clock, 1000));
    await bus.drain(1000);
    await host.stop("the command has ended");
  };
  return {
    natsUrl,
    rewards: address,
    policy: roles.includes("policy") ? address : null,
    endpoints: [
      { name: "covote", grpc: address, http: runtime.httpAddress(), metrics: runtime.metricsAddress() },
    ],
    bus,
    startLearner,
    failed: failed.promise,
    stop: () => {
      stopping ??= stopAll();
      return stopping;
    },
  };
}
