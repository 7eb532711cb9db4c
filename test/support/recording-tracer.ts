/** A tracer that records everything, for tests of what is told; ids are numbers. */
import { formatTraceparent, parseTraceparent } from "../../lib/core/trace-context.js";
import type { AttributeValue, SpanKind, Tracer } from "../../lib/core/tracer.js";

export interface RecordedSpan {
  name: string;
  kind: SpanKind;
  traceparent: string;
  parent: RecordedSpan | null;
  attributes: Record<string, AttributeValue | undefined>;
  /** Those that are known here. */
  links: RecordedSpan[];
  ended: boolean;
  thrown: unknown;
}

export interface RecordingTracer extends Tracer {
  readonly spans: readonly RecordedSpan[];
  named(name: string): RecordedSpan[];
}

export function recordingTracer(): RecordingTracer {
  const spans: RecordedSpan[] = [];
  const known = (traceparent: string | undefined): RecordedSpan | null =>
    spans.find((span) => span.traceparent === traceparent) ?? null;
  return {
    spans,
    named: (name) => spans.filter((span) => span.name === name),
    start: (name, { kind = "internal", parent, attributes = {}, links = [] } = {}) => {
      const cause = typeof parent === "object" ? formatTraceparent(parent) : parent;
      const number = String(spans.length + 1);
      const traceId = parseTraceparent(cause)?.traceId ?? number.padStart(32, "a");
      const span: RecordedSpan = {
        ...{
          name,
          kind,
          parent: known(cause),
          attributes: { ...attributes },
          ended: false,
          thrown: undefined,
        },
        traceparent: formatTraceparent({ traceId, spanId: number.padStart(16, "0"), sampled: true }),
        links: links.flatMap((link) => known(link) ?? []),
      };
      spans.push(span);
      return {
        traceparent: span.traceparent,
        set: (more) => void Object.assign(span.attributes, more),
        end: (thrown) => {
          if (span.ended) return;
          span.ended = true;
          span.thrown = thrown;
        },
      };
    },
  };
}
