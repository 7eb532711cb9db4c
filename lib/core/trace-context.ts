/**
 * W3C trace context, version 00 (https://www.w3.org/TR/trace-context/): which trace a piece of work belongs
 * to, whatever carries it (gRPC metadata, NATS headers, a field of a message).
 *
 * Pure: parsing never throws, and a header that breaks a rule counts as absent, as the recommendation asks.
 */

export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  traceId: string;
  /** 16 lower-case hex digits, not all zero: the span that is the parent of what comes next. */
  spanId: string;
  /** The caller may have recorded the trace. */
  sampled: boolean;
  /** `tracestate` as it came, for vendors; absent when there was none. */
  state?: string;
}

/** Random lower-case hex of so many bytes. */
export type RandomHex = (bytes: number) => string;

const traceparent = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const zeroTrace = "0".repeat(32);
const zeroSpan = "0".repeat(16);

/** Longest `tracestate` that is carried on, in characters; the recommendation asks for at least 512. */
const maxStateLength = 512;

export function parseTraceparent(header: string | undefined, state?: string): TraceContext | undefined {
  const match = header === undefined ? null : traceparent.exec(header.trim());
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags, rest] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string | undefined,
  ];
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (traceId === zeroTrace || spanId === zeroSpan) return undefined;
  const sampled = (Number.parseInt(flags, 16) & 1) === 1;
  const kept = state === undefined || state === "" || state.length > maxStateLength ? {} : { state };
  return { traceId, spanId, sampled, ...kept };
}

export function formatTraceparent(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? "01" : "00"}`;
}

/** Whether whoever began the trace records it. */
export function isSampled(traceparent: string): boolean {
  return parseTraceparent(traceparent)?.sampled ?? false;
}

export function newTrace(randomHex: RandomHex, sampled = false): TraceContext {
  return { traceId: nonZero(randomHex, 16), spanId: nonZero(randomHex, 8), sampled };
}

/** The same trace with a new span, whose parent is the given one. */
export function childTrace(parent: TraceContext, randomHex: RandomHex): TraceContext {
  return { ...parent, spanId: nonZero(randomHex, 8) };
}

function nonZero(randomHex: RandomHex, bytes: number): string {
  const hex = randomHex(bytes);
  return /[1-9a-f]/.test(hex) ? hex : `${hex.slice(0, -1)}1`;
}
