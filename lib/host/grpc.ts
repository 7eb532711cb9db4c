/**
 * The gRPC server of a process: its services, health (grpc.health.v1) and reflection.
 *
 * - Health follows the host's: NOT_SERVING as soon as anything says that it is not ready.
 * - `stop` first says NOT_SERVING, then refuses new calls and waits for those that run, at most until the
 *   deadline; what still runs then is cut off. Watchers of health do not hold it up.
 * - With TLS, whoever does not show a certificate of the given authority is not served (grpc-tls.ts).
 * - A port in use, or an address that cannot be listened on, is an error that names the setting and the fix.
 */
import { readdir } from "node:fs/promises";
import {
  logVerbosity,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { load } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { type Clock, systemClock } from "../core/clock.js";
import type { Deadline } from "../core/deadline.js";
import type { Logger } from "../core/logger.js";
import { packagePath } from "../core/package-root.js";
import type { Tracer } from "../core/tracer.js";
import type { CallScope } from "./grpc-call.js";
import { serveHealth } from "./grpc-health.js";
import { grpcMetrics } from "./grpc-metrics.js";
import { readingStrictly } from "./grpc-requests.js";
import { type GrpcServerTls, openServerIdentity } from "./grpc-tls.js";
import type { Health } from "./health.js";
import { cannotListen, formatAddress, type ListenAddress } from "./listen.js";
import type { Metrics } from "./metrics.js";

export interface GrpcService {
  definition: ServiceDefinition;
  /** Made of `unary`, `serverStream` and `bidi` of grpc-call.ts. */
  implementation: UntypedServiceImplementation;
}

export interface GrpcServerOptions {
  address: ListenAddress;
  /** The setting that the address comes from, for errors; default `grpc.address`. */
  field?: string;
  services: readonly GrpcService[];
  log: Logger;
  health: Health;
  metrics?: Metrics;
  tracer?: Tracer | null;
  clock?: Clock;
  /** Server reflection, for grpcurl and the like. */
  reflection?: boolean;
  /** Both ways; default 16 MiB. */
  maxMessageBytes?: number;
  /** Default: without TLS. */
  tls?: GrpcServerTls;
}

export interface GrpcServer {
  /** The one that was bound, so port 0 is resolved. */
  readonly address: ListenAddress;
  /** Calls that run now; health and reflection are not counted. */
  activeCalls(): number;
  /** Idempotent. */
  stop(deadline: Deadline): Promise<void>;
}

export const defaultMaxMessageBytes = 16 * 1024 * 1024;

/** After the last call has ended, time for its answer to leave and for connections to close, in ms. */
const closingGraceMs = 250;

export async function createGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const clock = options.clock ?? systemClock();
  const maxBytes = options.maxMessageBytes ?? defaultMaxMessageBytes;
  const identity =
    options.tls === undefined
      ? undefined
      : await openServerIdentity(options.tls, clock, (cause) => {
          options.log.warn({ cause }, `grpc: the certificates of before go on serving: ${cause.message}`);
        });
  // grpc-js writes to the console by itself; what matters of it comes back as errors.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    "grpc.max_receive_message_length": maxBytes,
    "grpc.max_send_message_length": maxBytes,
    // Clients that balance over DNS look it up again only when a connection ends (grpc-node issue 2265).
    "grpc.max_connection_age_ms": 300_000,
    // The calls of such a connection are finished: as long as the longest deadline that a configuration may set.
    "grpc.max_connection_age_grace_ms": 3_600_000,
    // Without channelz grpc-js 1.14 keeps no list of sessions, and forceShutdown leaves them open.
    "grpc.enable_channelz": 1,
  });
  const calls = countCalls(clock, options);
  for (const { definition, implementation } of options.services) {
    server.addService(readingStrictly(definition), mount(implementation, calls.scope));
  }
  const health = serveHealth(server, options.health, options.services.flatMap(serviceName));
  if (options.reflection === true) {
    const contract = await load(await contractFiles(), {
      includeDirs: [packagePath("proto")],
      keepCase: true,
    });
    // The contract has more services than one process serves.
    const services = options.services.flatMap(serviceName);
    new ReflectionService(contract, { services }).addToServer(server);
  }
  const shown = identity?.credentials ?? ServerCredentials.createInsecure();
  const port = await bind(server, shown, options.address, options.field ?? "grpc.address").catch((thrown) => {
    identity?.close();
    throw thrown;
  });

  async function stopOnce(deadline: Deadline): Promise<void> {
    health.notServing();
    health.close();
    const closed = new Promise<"closed">((resolve) => server.tryShutdown(() => resolve("closed")));
    const idle = calls.whenIdle().then(() => clock.sleep(Math.min(closingGraceMs, deadline.remainingMs())));
    const late = new AbortController();
    const outOfTime = clock.sleep(deadline.remainingMs(), { signal: late.signal }).catch(() => undefined);
    await Promise.race([closed, idle, outOfTime]);
    late.abort();
    if (calls.active() > 0) {
      options.log.warn({ calls: calls.active() }, "grpc: calls cut off at the end of the drain");
    }
    server.forceShutdown();
    identity?.close();
  }

  let stopping: Promise<void> | undefined;
  return {
    address: { host: options.address.host, port },
    activeCalls: calls.active,
    stop: (deadline) => {
      stopping ??= stopOnce(deadline);
      return stopping;
    },
  };
}

function serviceName({ definition }: GrpcService): string[] {
  const path = Object.values(definition)[0]?.path;
  return path === undefined ? [] : [path.split("/")[1] ?? ""];
}

/** Hands the scope to the handlers of grpc-call.ts, which take it as a third argument. */
function mount(implementation: UntypedServiceImplementation, scope: CallScope): UntypedServiceImplementation {
  type Handler = (call: unknown, callback: unknown, scope: CallScope) => void;
  const mounted = Object.entries(implementation).map(([name, handler]) => {
    const withScope = (call: unknown, callback: unknown): void =>
      (handler as unknown as Handler)(call, callback, scope);
    return [name, withScope] as const;
  });
  return Object.fromEntries(mounted) as UntypedServiceImplementation;
}

function countCalls(
  clock: Clock,
  options: Pick<GrpcServerOptions, "services" | "log" | "metrics" | "tracer">,
) {
  const methods = options.services.flatMap(({ definition }) => Object.values(definition));
  const served = methods.map(({ path }) => path.slice(1));
  const told = options.metrics && grpcMetrics(options.metrics, served);
  let active = 0;
  let idleWaiters: (() => void)[] = [];
  const scope: CallScope = {
    clock,
    log: options.log,
    tracer: options.tracer ?? null,
    begin: (path) => {
      const method = path.slice(1);
      const startedAt = clock.monotonic();
      active += 1;
      return (error) => {
        active -= 1;
        told?.(method, error === undefined ? "ok" : error.code, clock.monotonic() - startedAt);
        if (active > 0) return;
        for (const wake of idleWaiters) wake();
        idleWaiters = [];
      };
    },
  };
  const whenIdle = (): Promise<void> =>
    active === 0 ? Promise.resolve() : new Promise((resolve) => idleWaiters.push(resolve));
  return { scope, active: () => active, whenIdle };
}

function bind(
  server: Server,
  identity: ServerCredentials,
  address: ListenAddress,
  field: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(address), identity, (cause, port) => {
      if (cause === null) return resolve(port);
      server.forceShutdown();
      reject(cannotListen(field, address, cause));
    });
  });
}

async function contractFiles(): Promise<string[]> {
  const files = await readdir(packagePath("proto"), { recursive: true });
  return files.filter((file) => file.endsWith(".proto")).sort();
}
