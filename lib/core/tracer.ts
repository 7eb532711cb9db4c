/**
 * What the code knows of tracing: spans that are started under a parent, say what happened, and end.
 *
 * - A process that does not trace has no tracer: it is `null`, and `tracer?.start(…)` builds nothing, not even its
 *   arguments. `start` answers null for a trace that is not sampled, so that the same `?.` covers it.
 * - Parents and links are traceparents (W3C trace context), as they travel in headers and messages. What a span causes
 *   is sent on with the span's own; where there is no span, the one that came is passed on as it is.
 * - A tracer never throws, never waits, and holds a bounded number of spans.
 */
import type { TraceContext } from "./trace-context.js";

export type AttributeValue = string | number | boolean | readonly string[];
/** Left out where undefined. Names are dotted; covote's own begin with `covote.`. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>;

export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";

export interface SpanOptions {
  /** Default internal. */
  kind?: SpanKind;
  /** What caused it; left out, empty or malformed: it is the root of a new trace. */
  parent?: string | TraceContext | undefined;
  attributes?: Attributes;
  /** Further causes, each a traceparent: the fan-in. */
  links?: readonly string[];
}

export interface Span {
  /** For what it causes. */
  readonly traceparent: string;
  set(attributes: Attributes): void;
  /** Once; further calls do nothing. With what was thrown, it is marked as failed. */
  end(thrown?: unknown): void;
}

export interface Tracer {
  /** Null: the trace is not sampled. */
  start(name: string, options?: SpanOptions): Span | null;
}

/** Runs the work within a span, and ends it with the work. */
export async function within<T>(span: Span | null | undefined, work: () => Promise<T>): Promise<T> {
  if (!span) return work();
  try {
    const result = await work();
    span.end();
    return result;
  } catch (thrown) {
    span.end(thrown);
    throw thrown;
  }
}
