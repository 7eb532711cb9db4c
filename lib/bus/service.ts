/**
 * The NATS services protocol (ADR-32 of nats-architecture-and-design): answers `$SRV.PING`, `$SRV.INFO` and
 * `$SRV.STATS`, each also with `.<name>` and `.<name>.<id>`, so that `nats micro ls` and the like find and
 * inspect every covote process.
 */
import type { Clock } from "../core/clock.js";
import { CovoteError, invalid } from "../core/errors.js";
import { parseId } from "../core/ids.js";
import type { Bus, MessageMeta, RespondOptions, Subscription } from "./bus.js";

export interface ServiceOptions {
  /** `[A-Za-z0-9_-]+` */
  name: string;
  /** Semantic version. */
  version: string;
  description: string;
  metadata?: Readonly<Record<string, string>>;
}

export interface Service {
  /** Answers requests to `subject` and counts them. Default queue group `q`. */
  endpoint(
    name: string,
    subject: string,
    opts: RespondOptions,
    handler: (data: Uint8Array, meta: MessageMeta) => Promise<Uint8Array>,
  ): Subscription;
  /** Stops answering about the service and closes its endpoints. */
  close(): void;
}

interface Endpoint {
  readonly name: string;
  readonly subject: string;
  readonly queueGroup: string;
  requests: number;
  errors: number;
  lastError: string;
  /** Nanoseconds. */
  processingTime: number;
}

const semanticVersion = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;
const defaultQueueGroup = "q";

export function createService(bus: Bus, clock: Clock, opts: ServiceOptions): Service {
  const name = parseId("service.name", opts.name);
  if (!semanticVersion.test(opts.version)) {
    throw invalid("service.version", `must be a semantic version, got ${JSON.stringify(opts.version)}`);
  }
  const started = new Date(clock.now()).toISOString();
  const endpoints: Endpoint[] = [];
  const subscriptions: Subscription[] = [];
  const encoder = new TextEncoder();
  const identity = { name, id: bus.id, version: opts.version, metadata: { ...opts.metadata } };

  const answers: Readonly<Record<string, () => object>> = {
    PING: () => ({ type: "io.nats.micro.v1.ping_response", ...identity }),
    INFO: () => ({
      type: "io.nats.micro.v1.info_response",
      ...identity,
      description: opts.description,
      endpoints: endpoints.map(({ name: endpoint, subject, queueGroup }) => ({
        name: endpoint,
        subject,
        queue_group: queueGroup,
        metadata: {},
      })),
    }),
    STATS: () => ({
      type: "io.nats.micro.v1.stats_response",
      ...identity,
      started,
      endpoints: endpoints.map(stats),
    }),
  };
  for (const [verb, answer] of Object.entries(answers)) {
    for (const subject of [`$SRV.${verb}`, `$SRV.${verb}.${name}`, `$SRV.${verb}.${name}.${bus.id}`]) {
      subscriptions.push(
        bus.subscribe(subject, {}, (_data, meta) => {
          if (meta.reply !== undefined) bus.publish(meta.reply, encoder.encode(JSON.stringify(answer())));
        }),
      );
    }
  }

  return {
    endpoint: (endpointName, subject, respondOpts, handler) => {
      const queueGroup = respondOpts.queue ?? defaultQueueGroup;
      const endpoint: Endpoint = {
        ...{ name: parseId("endpoint.name", endpointName), subject, queueGroup },
        ...{ requests: 0, errors: 0, lastError: "", processingTime: 0 },
      };
      endpoints.push(endpoint);
      const subscription = bus.respond(subject, { ...respondOpts, queue: queueGroup }, async (data, meta) => {
        const startedAt = clock.monotonic();
        endpoint.requests++;
        try {
          return await handler(data, meta);
        } catch (thrown) {
          endpoint.errors++;
          endpoint.lastError = CovoteError.from(thrown).message;
          throw thrown;
        } finally {
          endpoint.processingTime += Math.round((clock.monotonic() - startedAt) * 1e6);
        }
      });
      subscriptions.push(subscription);
      return subscription;
    },
    close: () => {
      for (const subscription of subscriptions) subscription.close();
    },
  };
}

function stats(endpoint: Endpoint): object {
  const { requests, processingTime } = endpoint;
  return {
    name: endpoint.name,
    subject: endpoint.subject,
    queue_group: endpoint.queueGroup,
    num_requests: requests,
    num_errors: endpoint.errors,
    last_error: endpoint.lastError,
    processing_time: processingTime,
    average_processing_time: requests === 0 ? 0 : Math.round(processingTime / requests),
  };
}
