/**
 * The NATS of a cluster: the configured one, or a nats-server that is started here and kept alive.
 *
 * A nats-server of this cluster's own that dies is started again, on the same port and folder; the services
 * reconnect by themselves. It is given up after `maxRestarts` deaths within a minute.
 */
import { startNatsServer } from "../../lib/bus/nats-server.js";
import type { Clock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";

export interface ClusterNats {
  readonly url: string;
  /** True when it was started here. */
  readonly own: boolean;
  /** Rejects when the server could not be kept alive; never resolves. */
  readonly failed: Promise<never>;
  /** Ends a server that was started here. Idempotent. */
  stop(): Promise<void>;
}

export interface ClusterNatsOptions {
  config: CovoteConfig;
  /** For a server of its own. */
  dataDir: string;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  log: Logger;
}

const maxRestarts = 5;
const windowMs = 60_000;

export async function openClusterNats(options: ClusterNatsOptions): Promise<ClusterNats> {
  const { config, dataDir, env, clock, log } = options;
  const failed = deferred<never>();
  failed.promise.catch(() => undefined);
  if (config.nats.url !== null) {
    return { url: config.nats.url, own: false, failed: failed.promise, stop: async () => undefined };
  }
  const server = await startNatsServer({ dataDir, env, log });
  let stopping = false;
  const deaths: number[] = [];

  const keepAlive = async (): Promise<void> => {
    for (;;) {
      await server.ended();
      if (stopping) return;
      const now = clock.monotonic();
      deaths.push(now);
      const recent = deaths.filter((at) => now - at < windowMs).length;
      if (recent > maxRestarts) {
        throw new CovoteError(
          "unavailable",
          `nats-server died ${recent} times within a minute; see ${dataDir}/nats.log`,
        );
      }
      log.warn({ restarts: deaths.length }, "nats-server died; starting it again");
      await server.restart();
      if (stopping) await server.stop();
    }
  };
  const kept = keepAlive().catch(failed.reject);

  return {
    url: server.url,
    own: true,
    failed: failed.promise,
    stop: async () => {
      stopping = true;
      await server.stop();
      await kept;
    },
  };
}
