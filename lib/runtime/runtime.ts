/**
 * What every covote process is made of, whether it runs one service or all of them: the configuration, the
 * operations server, the bus, and one gRPC server for the services that are mounted.
 *
 *     metrics → bus → (each mounted service) → grpc
 *
 * Stages start in this order and stop in reverse; see host.ts.
 */
import type { Bus } from "../bus/bus.js";
import { openBus } from "../bus/open-bus.js";
import type { Clock } from "../core/clock.js";
import type { Deadline } from "../core/deadline.js";
import { CovoteError } from "../core/errors.js";
import { newId } from "../core/ids.js";
import { packagePath } from "../core/package-root.js";
import { createRandom, type Random, seedFrom } from "../core/random.js";
import { type Grammar, grammars } from "../grm/grammar.js";
import { type CovoteConfig, shippedCheckpoint } from "../host/covote-config.js";
import { createGrpcServer, type GrpcService } from "../host/grpc.js";
import type { Host } from "../host/host.js";
import { createHttpServer, opsRoutes } from "../host/http.js";
import { formatAddress, parseListenAddress } from "../host/listen.js";

export interface Runtime {
  readonly host: Host;
  readonly config: CovoteConfig;
  readonly clock: Clock;
  readonly random: Random;
  /** The grammar of the configured reward model. */
  readonly grammar: Grammar;
  /** Only from within a stage. */
  bus(): Bus;
  /** Folder of the configured checkpoint of a role. */
  checkpoint(role: CheckpointRole): string;
  /** Registers a service; what `start` returns is served over gRPC and stopped in its turn. */
  mount(name: string, start: () => Promise<MountedService>): void;
  /** Starts everything that was mounted. Once. */
  start(): Promise<void>;
  /** `host:port` once started; null when no mounted service speaks gRPC. */
  grpcAddress(): string | null;
  metricsAddress(): string;
}

export type CheckpointRole = "policy" | "grm" | "meta-rm";

export interface MountedService {
  readonly api?: GrpcService;
  stop(deadline: Deadline): Promise<void>;
}

export interface RuntimeOptions {
  host: Host;
  config: CovoteConfig;
  clock: Clock;
  /** Where NATS is; the configuration's `nats.url`, or the server that was started for this run. */
  natsUrl: string;
}

export function createRuntime({ host, config, clock, natsUrl }: RuntimeOptions): Runtime {
  const random = createRandom(seedFrom(config.run.seed, host.id));
  const apis: GrpcService[] = [];
  let bus: Bus | null = null;
  let grpcAddress: string | null = null;
  let metricsAddress = "";

  host.stage("metrics", async () => {
    const { host: address, port } = config.metrics;
    const server = await createHttpServer({
      address: { host: address, port },
      field: "metrics.port",
      routes: opsRoutes(host.metrics, host.health),
      log: host.log,
    });
    metricsAddress = formatAddress(server.address);
    return (deadline) => server.stop(deadline);
  });

  host.stage("bus", async () => {
    const opened = await openBus({
      servers: natsUrl,
      cluster: config.cluster.name,
      name: host.name,
      id: `${host.id}-${newId()}`,
      random,
      clock,
      connectTimeoutMs: config.nats.connectTimeoutMs,
    });
    bus = opened;
    opened.events.subscribe((event) => {
      if (event.type === "disconnect") host.health.setReady("bus", false, "NATS is not reachable");
      if (event.type === "reconnect") host.health.setReady("bus", true);
      if (event.type === "closed" && !host.signal.aborted) {
        host.fail(new CovoteError("unavailable", "the connection to NATS is closed", { cause: event.cause }));
      }
      host.log.debug({ bus: event }, "bus event");
    });
    return (deadline) => opened.drain(deadline.remainingMs());
  });

  const serveGrpc = (): void => {
    host.stage("grpc", async () => {
      if (apis.length === 0) return undefined;
      const server = await createGrpcServer({
        address: parseListenAddress("grpc.address", config.grpc.address),
        services: apis,
        log: host.log,
        health: host.health,
        metrics: host.metrics,
        clock,
        reflection: config.grpc.reflection,
        maxMessageBytes: config.grpc.maxMessageBytes,
      });
      grpcAddress = formatAddress(server.address);
      return (deadline) => server.stop(deadline);
    });
  };

  return {
    host,
    config,
    clock,
    random,
    grammar: grammars[config.grm.grammar],
    bus: () => {
      if (bus === null) throw new CovoteError("internal", "the bus is used before its stage");
      return bus;
    },
    checkpoint: (role) => {
      const path = { policy: config.policy, grm: config.grm, "meta-rm": config.metaRm }[role].checkpoint;
      return path === shippedCheckpoint ? packagePath("models", `${shippedCheckpoint}-${role}`) : path;
    },
    mount: (name, start) =>
      host.stage(name, async () => {
        const service = await start();
        if (service.api !== undefined) apis.push(service.api);
        return (deadline) => service.stop(deadline);
      }),
    start: () => {
      serveGrpc();
      return host.start();
    },
    grpcAddress: () => grpcAddress,
    metricsAddress: () => metricsAddress,
  };
}
