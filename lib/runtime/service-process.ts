/**
 * The main of a service's own process: configuration from a file and the environment, a host that drains on
 * SIGTERM, and whatever the caller mounts.
 *
 *     node dist/services/<name>/main.js --config FILE [--id ID] [--log FILE]
 *
 * Ports are the configuration's. Exit code 0 after a drain or a finished run, 1 on a failure or when a run was
 * stopped before its end (it can be started again), 2 when the process could not start as asked.
 */
import { parseArgs } from "node:util";
import { systemClock } from "../core/clock.js";
import { CovoteError, invalid } from "../core/errors.js";
import { compileCovoteConfig } from "../host/covote-config.js";
import { createHost } from "../host/host.js";
import { createLogger } from "../host/log.js";
import { runMain } from "../host/main.js";
import { createMetrics } from "../host/metrics.js";
import { stopOnSignals } from "../host/signals.js";
import { createRuntime, type Runtime } from "./runtime.js";

/** Mounts the service; what it returns ends the process when it settles. */
export type MountService = (runtime: Runtime) => { finished: Promise<unknown> } | undefined;

/** How long a process outlives the supervisor that started it, in milliseconds. */
const orphanGraceMs = 3000;

export interface ServiceProcess {
  /** The service, e.g. `grm-worker`. */
  name: string;
  args: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
}

export function runServiceProcess(service: ServiceProcess, mount: MountService): Promise<void> {
  return runMain(() => serve(service, mount), {
    name: service.name,
    debug: service.env.COVOTE_DEBUG === "1",
  });
}

async function serve({ name, args, env }: ServiceProcess, mount: MountService): Promise<number> {
  const options = readArgs(args);
  const config = compileCovoteConfig({ ...(options.config && { file: options.config }), env });
  if (config.nats.url === null)
    throw invalid("nats.url", "is not set; a service of its own needs a running NATS");
  const clock = systemClock();
  const log = createLogger({
    name,
    level: config.log.level,
    ...(options.log && { destination: options.log }),
  });
  const host = createHost({
    name,
    id: options.id ?? name,
    log,
    clock,
    drainTimeoutMs: config.cluster.drainTimeoutMs,
    metrics: createMetrics({ service: name, process: true }),
  });
  const runtime = createRuntime({ host, config, clock, natsUrl: config.nats.url, env });
  const work = mount(runtime);
  let finished = work === undefined;
  work?.finished.then(
    () => {
      finished = true;
      return host.stop("the run is finished");
    },
    (cause: unknown) => {
      if (host.signal.aborted) return;
      const { code, message, retryable } = CovoteError.from(cause);
      // Another life would come to the same end; a fault may have been of this process alone.
      if (!retryable && code !== "internal") process.send?.({ failed: { code, message } });
      host.fail(cause);
    },
  );
  stopOnSignals(host);
  // The supervisor that started this process was killed, and its NATS goes with it: there is nobody to drain for.
  process.once("disconnect", () => {
    void host.stop("the supervisor is gone");
    clock.after(orphanGraceMs, () => process.exit(1), { background: true });
  });
  process.channel?.unref();
  await runtime.start();
  const ready = {
    name,
    grpc: runtime.grpcAddress(),
    http: runtime.httpAddress(),
    metrics: runtime.metricsAddress(),
  };
  process.send?.({ ready });
  const reason = await host.done;
  log.flush();
  if (reason.t === "failed") throw CovoteError.from(reason.cause);
  return finished ? 0 : 1;
}

function readArgs(args: readonly string[]): { config?: string; id?: string; log?: string } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { config: { type: "string" }, id: { type: "string" }, log: { type: "string" } },
    });
    return values;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CovoteError("invalid_argument", `${why}; known: --config FILE, --id ID, --log FILE`, { cause });
  }
}
