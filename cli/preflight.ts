/**
 * What can be known to be wrong before anything is started or written: unreadable checkpoints, ports in use, a NATS
 * that does not answer. Every problem is one CovoteError that names the setting and the fix.
 */
import { createServer } from "node:net";
import { openConnection } from "../lib/bus/connection.js";
import { findNatsServer, natsServerMissing } from "../lib/bus/nats-server.js";
import { createRandom } from "../lib/core/random.js";
import type { CovoteConfig } from "../lib/host/covote-config.js";
import { cannotListen, type ListenAddress, parseListenAddress } from "../lib/host/listen.js";
import type { CheckpointRole } from "../lib/runtime/checkpoints.js";
import { checkEngine } from "../lib/runtime/engines.js";
import { natsAccess } from "../lib/runtime/nats-settings.js";

export interface PreflightOptions {
  /** Models that will be opened. */
  roles: readonly CheckpointRole[];
  /** Ports that will be listened on. */
  listen: "configured" | "none";
  /** Processes with a metrics port each. */
  processes: number;
  env: Readonly<Record<string, string | undefined>>;
}

export async function preflight(config: CovoteConfig, options: PreflightOptions): Promise<void> {
  for (const role of options.roles) await checkEngine(config, role, options.env);
  await checkNats(config, options.env);
  if (options.listen === "none") return;
  await checkFree("grpc.address", parseListenAddress("grpc.address", config.grpc.address));
  const { address } = config.http;
  if (address !== null) await checkFree("http.address", parseListenAddress("http.address", address));
  const { host, port } = config.metrics;
  const last = port === 0 ? 0 : Math.min(65_535, port + options.processes - 1);
  for (let at = port; at <= last; at++) await checkFree("metrics.port", { host, port: at });
}

async function checkNats(config: CovoteConfig, env: PreflightOptions["env"]): Promise<void> {
  const { nats } = config;
  if (nats.url === null) {
    if (findNatsServer({ ...env }) === undefined) throw natsServerMissing();
    return;
  }
  const connection = await openConnection(
    {
      servers: nats.url,
      name: "covote-preflight",
      connectTimeoutMs: nats.connectTimeoutMs,
      ...natsAccess(config),
    },
    createRandom(1),
  );
  await connection.close();
}

/** Listens for a moment. Another process may still be faster; then the service that is to listen says so. */
function checkFree(field: string, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (cause) => reject(cannotListen(field, address, cause)));
    probe.listen({ host: address.host, port: address.port, exclusive: true }, () =>
      probe.close(() => resolve()),
    );
  });
}
