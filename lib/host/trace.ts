/** Trace context in gRPC metadata. The pure part is lib/core/trace-context.ts. */
import type { Metadata } from "@grpc/grpc-js";
import { systemRandomHex } from "../core/random-hex.js";
import {
  childTrace,
  formatTraceparent,
  newTrace,
  parseTraceparent,
  type RandomHex,
  type TraceContext,
} from "../core/trace-context.js";

export const traceparentKey = "traceparent";
export const tracestateKey = "tracestate";

/** What the caller says of its trace; undefined when it says nothing, or nothing well-formed. */
export function callerTrace(metadata: Metadata): TraceContext | undefined {
  return parseTraceparent(header(metadata, traceparentKey), header(metadata, tracestateKey));
}

/** The span of a call that came in: a child of the caller's, or the root of a new trace. */
export function traceFromMetadata(metadata: Metadata, randomHex: RandomHex = systemRandomHex): TraceContext {
  const parent = callerTrace(metadata);
  return parent === undefined ? newTrace(randomHex) : childTrace(parent, randomHex);
}

export function traceIntoMetadata(trace: TraceContext, metadata: Metadata): void {
  metadata.set(traceparentKey, formatTraceparent(trace));
  if (trace.state !== undefined) metadata.set(tracestateKey, trace.state);
}

function header(metadata: Metadata, key: string): string | undefined {
  const value = metadata.get(key)[0];
  return value === undefined ? undefined : String(value);
}
