/**
 * `covote up`: a cluster that runs until it is told to stop.
 *
 *     check → nats-server → services → (ready) → wait → services stopped in reverse → nats-server stopped
 *
 * Nothing is written before the checks have passed.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { createLogger } from "../../lib/host/log.js";
import type { Cluster } from "../cluster/cluster.js";
import { scalesAsService } from "../cluster/local-scaling.js";
import { openProcessCluster } from "../cluster/many-processes.js";
import { openClusterNats } from "../cluster/nats.js";
import { openOneProcessCluster } from "../cluster/one-process.js";
import { rolesOf } from "../cluster/roles.js";
import { preflight } from "../preflight.js";

export interface UpOptions {
  config: CovoteConfig;
  /** Folder of NATS's data and the logs; made if missing. */
  dir: string;
  /** Every service a process of its own. */
  processes: boolean;
  env: Readonly<Record<string, string | undefined>>;
  /** Aborted: drain and end. */
  signal: AbortSignal;
  /** Called once, when everything listens. */
  ready(cluster: Cluster): void;
  /** Called when draining starts. */
  stopping(): void;
  clock?: Clock;
}

/** Resolves after a drain that `signal` asked for; rejects when the cluster could not start or has failed. */
export async function up(options: UpOptions): Promise<void> {
  const { config, dir, signal } = options;
  const clock = options.clock ?? systemClock();
  await preflight(config, {
    roles: rolesOf(config),
    listen: "configured",
    processes: options.processes ? 3 + config.grm.workers + Number(scalesAsService(config)) : 1,
    env: options.env,
  });
  makeFolder(dir);
  const log = createLogger({
    name: "covote",
    level: config.log.level,
    destination: join(dir, "logs", "covote.log"),
  });
  try {
    const nats = await openClusterNats({ config, dataDir: join(dir, "nats"), env: options.env, clock, log });
    try {
      const clusterOptions = { config, natsUrl: nats.url, clock, log, env: options.env };
      const cluster = options.processes
        ? await openProcessCluster({ ...clusterOptions, dir })
        : await openOneProcessCluster(clusterOptions);
      try {
        options.ready(cluster);
        await Promise.race([aborted(signal), cluster.failed, nats.failed]);
        options.stopping();
      } finally {
        await cluster.stop();
      }
    } finally {
      await nats.stop();
    }
  } finally {
    log.flush();
  }
}

function makeFolder(dir: string): void {
  try {
    mkdirSync(join(dir, "logs"), { recursive: true });
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CovoteError("invalid_argument", `--data: cannot make ${dir} (${why}); give another folder`, {
      field: "--data",
      cause,
    });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
