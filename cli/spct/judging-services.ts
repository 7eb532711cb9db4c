/**
 * grm-workers and the aggregator in this process, on a NATS of their own: what collecting judgments takes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bus } from "../../lib/bus/bus.js";
import { openBus } from "../../lib/bus/open-bus.js";
import type { Clock } from "../../lib/core/clock.js";
import type { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import { createRandom } from "../../lib/core/random.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { createHost } from "../../lib/host/host.js";
import { createLogger } from "../../lib/host/log.js";
import { busSettings } from "../../lib/runtime/nats-settings.js";
import { createRuntime } from "../../lib/runtime/runtime.js";
import { mountGrmWorker } from "../../services/grm-worker/mount.js";
import { mountVoteAggregator } from "../../services/vote-aggregator/mount.js";
import { apart } from "../cluster/apart.js";
import { openClusterNats } from "../cluster/nats.js";

export interface JudgingServices {
  readonly bus: Bus;
  readonly log: Logger;
  /** Rejects when a service has failed for good; never resolves. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

export interface JudgingServicesOptions {
  config: CovoteConfig;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** Default: the configured checkpoint. */
  openEngine?: () => Promise<GenerativeEngine>;
}

/** What they write lies in a temporary folder that `stop` removes; they must not mix with a cluster that runs. */
export async function openJudgingServices(options: JudgingServicesOptions): Promise<JudgingServices> {
  const { env, clock, openEngine } = options;
  const config = apart(options.config);
  const dir = mkdtempSync(join(tmpdir(), "covote-spct-"));
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of stops.splice(0).reverse()) await one();
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const { level } = config.log;
    const log = createLogger({ name: "covote", level, destination: join(dir, "covote.log") });
    stops.push(async () => log.flush());
    const nats = await openClusterNats({ config, dataDir: join(dir, "nats"), env, clock, log });
    stops.push(() => nats.stop());
    const host = createHost({ name: "covote", log, clock, drainTimeoutMs: config.cluster.drainTimeoutMs });
    stops.push(async () => void (await host.stop("the command has ended")));
    const runtime = createRuntime({ host, config, clock, natsUrl: nats.url, env });
    for (let n = 1; n <= config.grm.workers; n++) {
      mountGrmWorker(runtime, { name: `grm-worker-${n}`, ...(openEngine && { openEngine }) });
    }
    mountVoteAggregator(runtime);
    await runtime.start();
    const random = createRandom(config.run.seed);
    const bus = await openBus({ ...busSettings(config, nats.url), name: "covote-cli", random, clock });
    stops.push(() => bus.drain(1000));
    const ended = host.done.then((end) => {
      if (end.t === "failed") throw end.cause as CovoteError;
      return new Promise<never>(() => undefined);
    });
    const failed = Promise.race([ended, nats.failed]);
    failed.catch(() => undefined);
    return { bus, log, failed, stop };
  } catch (cause) {
    await stop();
    throw cause;
  }
}
