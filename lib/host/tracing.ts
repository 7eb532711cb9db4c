/**
 * Tracing by OpenTelemetry: the tracer of lib/core/tracer.ts on its SDK, told to a collector over OTLP/HTTP.
 *
 * - Loaded only where `tracing.endpoint` is set.
 * - A trace that a caller began goes on under the caller's decision; of those begun here `tracing.sampleRatio` are
 *   recorded, chosen by trace id.
 * - A collector that is slow, away or wrong costs spans, which are counted, and nothing else.
 */
import { readFileSync } from "node:fs";
import { context, createTraceState, type Link, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from "@opentelemetry/sdk-trace";
import type { Clock } from "../core/clock.js";
import { type Deadline, withDeadline } from "../core/deadline.js";
import { CovoteError, invalid } from "../core/errors.js";
import type { Logger } from "../core/logger.js";
import { formatTraceparent, parseTraceparent, type TraceContext } from "../core/trace-context.js";
import type { Attributes, SpanKind as Kind, Span, Tracer } from "../core/tracer.js";
import type { Metrics } from "./metrics.js";
import { createSpanQueue } from "./span-queue.js";
import type { TracingConfig } from "./tracing-config.js";
import { tracingMetrics } from "./tracing-metrics.js";

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what waits, at the latest until the deadline. */
  stop(deadline: Deadline): Promise<void>;
}

export interface TracingOptions {
  config: TracingConfig & { endpoint: string };
  /** The process: `service.name` and `service.instance.id` of its spans. */
  service: string;
  instance: string;
  version: string;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/** A process that ends waits no longer than this for its collector, in milliseconds. */
const stopMs = 1500;

/** A span may gather a whole step's groups, or a judgment's votes. */
const spanLimits = { linkCountLimit: 4096, attributeCountLimit: 128, attributeValueLengthLimit: 1024 };

export function openTracing(options: TracingOptions): Tracing {
  const { config, clock, log } = options;
  const queue = createSpanQueue({
    exporter: new OTLPTraceExporter({
      url: tracesUrl(config.endpoint),
      headers: config.headersFile === null ? {} : readHeaders(config.headersFile),
      timeoutMillis: config.timeoutMs,
      concurrencyLimit: 1,
    }),
    capacity: config.queueSize,
    clock,
    log,
    count: tracingMetrics(options.metrics),
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.namespace": "covote",
      "service.name": options.service,
      "service.instance.id": options.instance,
      "service.version": options.version,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(config.sampleRatio) }),
    spanProcessors: [queue],
    spanLimits,
  });
  const sdk = provider.getTracer("covote", options.version);

  const start: Tracer["start"] = (name, { kind = "internal", parent, attributes, links } = {}) => {
    const cause = typeof parent === "object" ? parent : parseTraceparent(parent);
    // Most of what is not sampled is known to be so before anything is built.
    if (cause?.sampled === false) return null;
    const under =
      cause === undefined ? context.active() : trace.setSpanContext(context.active(), remote(cause));
    const span = sdk.startSpan(
      name,
      {
        kind: kinds[kind],
        ...(attributes === undefined ? {} : { attributes: known(attributes) }),
        ...(links === undefined ? {} : { links: links.flatMap(toLink) }),
      },
      under,
    );
    return span.isRecording() ? wrap(span) : null;
  };
  return {
    tracer: { start },
    stop: async (deadline) => {
      const what = "the last spans";
      const soon = deadline.capped(clock.now() + stopMs);
      await withDeadline(soon, { what, clock }, () => provider.shutdown()).catch((error: unknown) => {
        log.warn({ error }, "tracing: the last spans did not get out in time");
      });
    },
  };
}

const kinds: Record<Kind, SpanKind> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

type SdkSpan = ReturnType<ReturnType<TracerProvider["getTracer"]>["startSpan"]>;

function wrap(span: SdkSpan): Span {
  const { traceId, spanId } = span.spanContext();
  return {
    traceparent: formatTraceparent({ traceId, spanId, sampled: true }),
    set: (attributes) => void span.setAttributes(known(attributes)),
    end: (thrown) => {
      if (!span.isRecording()) return;
      if (thrown !== undefined) {
        const { code, message } = CovoteError.from(thrown);
        // What was called off has not failed.
        if (code === "cancelled") span.setAttribute("covote.cancelled", true);
        else span.setAttribute("error.type", code).setStatus({ code: SpanStatusCode.ERROR, message });
      }
      span.end();
    },
  };
}

function remote({ traceId, spanId, sampled, state }: TraceContext) {
  const traceState = state === undefined ? {} : { traceState: createTraceState(state) };
  return { traceId, spanId, traceFlags: sampled ? 1 : 0, isRemote: true, ...traceState };
}

function toLink(traceparent: string): Link[] {
  const linked = parseTraceparent(traceparent);
  return linked === undefined ? [] : [{ context: remote(linked) }];
}

function known(attributes: Attributes): Record<string, string | number | boolean | string[]> {
  const found: Record<string, string | number | boolean | string[]> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    found[name] = typeof value === "object" ? [...value] : value;
  }
  return found;
}

/** As the OTLP specification has it for a base URL; a path of one's own stays. */
export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  if (url.pathname === "/") url.pathname = "/v1/traces";
  return url.href;
}

/** Throws `invalid_argument` with the file and the line, never with a value. */
export function readHeaders(file: string): Record<string, string> {
  const field = "tracing.headersFile";
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw invalid(field, `cannot read ${file} (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`);
  }
  const headers: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const found = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)$/.exec(line);
    if (found === null) throw invalid(field, `${file}, line ${index + 1}: must be "name: value"`);
    headers[found[1] as string] = (found[2] as string).trimEnd();
  }
  return headers;
}
