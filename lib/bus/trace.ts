/**
 * W3C trace context (https://www.w3.org/TR/trace-context/) as text: made, parsed and carried in the NATS
 * header `traceparent`. Enough to connect logs and spans across processes without a tracing library.
 */
import { randomBytes } from "node:crypto";

export const traceparentHeader = "traceparent";

export interface TraceContext {
  /** 32 hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 hexadecimal digits, not all zero: the caller's span. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The context, or undefined for anything malformed: tracing never fails a call. */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const match = text === undefined ? null : pattern.exec(text);
  if (match === null) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", rest] = match;
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? "01" : "00"}`;
}

/** A new trace with its first span. */
export function newTrace(sampled = true): TraceContext {
  return { traceId: randomBytes(16).toString("hex"), spanId: randomBytes(8).toString("hex"), sampled };
}

/** A new span of the parent's trace; a new trace when there is no parent. */
export function childSpan(parent: TraceContext | undefined): TraceContext {
  if (parent === undefined) return newTrace();
  return { ...parent, spanId: randomBytes(8).toString("hex") };
}
