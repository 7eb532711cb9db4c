/**
 * What every covote process is made of, whether it runs one service or all of them: the configuration, the
 * operations server, the bus, and one gRPC and one HTTP server for the services that are mounted.
 *
 *     metrics → tracing → bus → (each mounted service) → grpc → http
 *
 * Stages start in this order and stop in reverse; see host.ts.
 */
import type { Bus } from "../bus/bus.js";
import { openBus } from "../bus/open-bus.js";
import { createService, type Service } from "../bus/service.js";
import { tracedBus } from "../bus/traced-bus.js";
import type { Clock, Timer } from "../core/clock.js";
import type { Deadline } from "../core/deadline.js";
import { CovoteError } from "../core/errors.js";
import { newId } from "../core/ids.js";
import { packageVersion } from "../core/package-root.js";
import { createRandom, type Random, seedFrom } from "../core/random.js";
import type { Tracer } from "../core/tracer.js";
import type { GenerativeEngine, ScalarEngine } from "../engine/engine.js";
import { type Grammar, grammars } from "../grm/grammar.js";
import type { CovoteConfig } from "../host/covote-config.js";
import { createGrpcServer, type GrpcService } from "../host/grpc.js";
import type { GrpcServerTls } from "../host/grpc-tls.js";
import type { Host } from "../host/host.js";
import { createHttpServer, type HttpRoutes, opsRoutes } from "../host/http.js";
import { formatAddress, parseListenAddress } from "../host/listen.js";
import { busMetrics } from "./bus-metrics.js";
import { type CheckpointRole, openConfiguredCheckpoint } from "./checkpoints.js";
import { clusterApi } from "./cluster-api.js";
import { type GenerativeRole, openConfiguredEngine, openConfiguredScorer } from "./engines.js";
import type { LoadOptions } from "./load-reports.js";
import { busSettings } from "./nats-settings.js";
import { processMetrics } from "./process-metrics.js";

export interface Runtime {
  readonly host: Host;
  readonly config: CovoteConfig;
  readonly clock: Clock;
  readonly random: Random;
  /** The grammar of the configured reward model. */
  readonly grammar: Grammar;
  /** How the services of this process tell the cluster about their load. */
  readonly load: LoadOptions;
  /** Only from within a stage. */
  bus(): Bus;
  /** Null when `tracing.endpoint` is not set. Only from within a stage. */
  tracer(): Tracer | null;
  /** Folder of the configured checkpoint of a role, checked; rejects with the setting and what is wrong. */
  checkpoint(role: CheckpointRole): Promise<string>;
  /** The configured engine of a role, for a service of this name; rejects likewise. */
  engine(role: GenerativeRole, service: string): Promise<GenerativeEngine>;
  /** The configured engine of the meta reward model. */
  scorer(service: string): Promise<ScalarEngine>;
  /**
   * Registers a service; what `start` returns is served over gRPC and stopped in its turn. Meanwhile it answers
   * `$SRV.PING|INFO|STATS` under its name, endpoints that `start` adds included.
   */
  mount(name: string, start: (service: Service) => Promise<MountedService>): void;
  /** Starts everything that was mounted. Once. */
  start(): Promise<void>;
  /** `host:port` once started; null when no mounted service speaks gRPC. */
  grpcAddress(): string | null;
  /** `host:port` once started; null when `http.address` is, or when no mounted service speaks HTTP. */
  httpAddress(): string | null;
  metricsAddress(): string;
}

export interface MountedService {
  readonly api?: GrpcService;
  readonly routes?: HttpRoutes;
  stop(deadline: Deadline): Promise<void>;
}

export interface RuntimeOptions {
  host: Host;
  config: CovoteConfig;
  clock: Clock;
  /** Where NATS is; the configuration's `nats.url`, or the server that was started for this run. */
  natsUrl: string;
  /** Where the API keys of engines are. */
  env: Readonly<Record<string, string | undefined>>;
}

export function createRuntime({ host, config, clock, natsUrl, env }: RuntimeOptions): Runtime {
  const random = createRandom(seedFrom(config.run.seed, host.id));
  const apis: GrpcService[] = [];
  const routes: HttpRoutes = {};
  let bus: Bus | null = null;
  let tracer: Tracer | null = null;
  let grpcAddress: string | null = null;
  let httpAddress: string | null = null;
  let metricsAddress = "";

  processMetrics(host.metrics, {
    node: process.version,
    grammar: grammars[config.grm.grammar],
  });
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

  host.stage("tracing", async () => {
    const { endpoint } = config.tracing;
    if (endpoint === null) return undefined;
    const { openTracing } = await import("../host/tracing.js");
    const tracing = openTracing({
      config: { ...config.tracing, endpoint },
      service: host.name,
      instance: host.id,
      version: packageVersion(),
      ...{ clock, log: host.log, metrics: host.metrics },
    });
    tracer = tracing.tracer;
    return (deadline) => tracing.stop(deadline);
  });

  host.stage("bus", async () => {
    const opened = await openBus({
      ...busSettings(config, natsUrl),
      name: host.name,
      id: `${host.id}-${newId()}`,
      random,
      clock,
    });
    bus = tracer === null ? opened : tracedBus(opened, tracer);
    let outage: Timer | null = null;
    const giveUp = (): void => {
      const { outageTimeoutMs } = config.nats;
      const text = `NATS at ${withoutCredentials(natsUrl)} has been away for ${outageTimeoutMs} ms (nats.outageTimeoutMs); start it again`;
      host.fail(new CovoteError("unavailable", text));
    };
    opened.events.subscribe((event) => {
      if (event.type === "disconnect") {
        host.health.setReady("bus", false, "NATS is not reachable");
        outage ??= clock.after(config.nats.outageTimeoutMs, giveUp, { background: true });
      }
      if (event.type === "reconnect") {
        host.health.setReady("bus", true);
        outage?.cancel();
        outage = null;
      }
      if (event.type === "closed" && !host.signal.aborted) {
        host.fail(new CovoteError("unavailable", "the connection to NATS is closed", { cause: event.cause }));
      }
      host.log.debug({ bus: event }, "bus event");
    });
    const stopCounting = busMetrics(host.metrics, opened);
    return (deadline) => {
      stopCounting();
      outage?.cancel();
      return opened.drain(deadline.remainingMs());
    };
  });

  const serveGrpc = (): void => {
    host.stage("grpc", async () => {
      if (apis.length === 0) return undefined;
      const server = await createGrpcServer({
        address: parseListenAddress("grpc.address", config.grpc.address),
        services: [...apis, clusterApi(runtime.bus(), clock)],
        log: host.log,
        health: host.health,
        metrics: host.metrics,
        tracer,
        clock,
        reflection: config.grpc.reflection,
        maxMessageBytes: config.grpc.maxMessageBytes,
        ...grpcTls(config),
      });
      grpcAddress = formatAddress(server.address);
      return (deadline) => server.stop(deadline);
    });
  };

  const serveHttp = (): void => {
    host.stage("http", async () => {
      const { address, maxInFlight } = config.http;
      if (address === null || Object.keys(routes).length === 0) return undefined;
      const server = await createHttpServer({
        address: parseListenAddress("http.address", address),
        field: "http.address",
        ...{ routes, log: host.log, clock, maxInFlight },
      });
      httpAddress = formatAddress(server.address);
      return (deadline) => server.stop(deadline);
    });
  };

  const runtime: Runtime = {
    host,
    config,
    clock,
    random,
    grammar: grammars[config.grm.grammar],
    load: { host: host.id, intervalMs: config.scaling.reportIntervalMs },
    bus: () => {
      if (bus === null) throw new CovoteError("internal", "the bus is used before its stage");
      return bus;
    },
    tracer: () => tracer,
    checkpoint: async (role) => (await openConfiguredCheckpoint(config, role)).path,
    engine: (role, service) => openConfiguredEngine({ config, clock, host, random, env }, role, service),
    scorer: (service) => openConfiguredScorer({ config, clock, host, random, env }, service),
    mount: (name, start) =>
      host.stage(name, async () => {
        const answering = createService(runtime.bus(), clock, {
          name,
          version: packageVersion(),
          description: `covote ${name}`,
          metadata: { cluster: config.cluster.name, host: host.id },
        });
        const service = await start(answering).catch((cause: unknown) => {
          answering.close();
          throw cause;
        });
        if (service.api !== undefined) apis.push(service.api);
        Object.assign(routes, service.routes);
        return async (deadline) => {
          await service.stop(deadline);
          answering.close();
        };
      }),
    start: () => {
      serveGrpc();
      serveHttp();
      return host.start();
    },
    grpcAddress: () => grpcAddress,
    httpAddress: () => httpAddress,
    metricsAddress: () => metricsAddress,
  };
  return runtime;
}

function grpcTls({ grpc }: CovoteConfig): { tls?: GrpcServerTls } {
  const { certFile, keyFile, caFile } = grpc.tls;
  if (certFile === null || keyFile === null) return {};
  return { tls: { certFile, keyFile, ...(caFile !== null && { caFile }) } };
}

/** Without what is between `//` and `@`: a user and a password. */
function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/@]*@/g, "//");
}
