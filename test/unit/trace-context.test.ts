import fc from "fast-check";
import { expect, test } from "vitest";
import { childTrace, formatTraceparent, newTrace, parseTraceparent } from "../../lib/core/trace-context.js";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";

test("the recommendation's example is read and written", () => {
  const header = `00-${traceId}-${spanId}-01`;
  const trace = parseTraceparent(header, "vendor=1");
  expect(trace).toEqual({ traceId, spanId, sampled: true, state: "vendor=1" });
  expect(formatTraceparent(trace as NonNullable<typeof trace>)).toBe(header);
});

test("a later version with more fields is read by its first four", () => {
  expect(parseTraceparent(`01-${traceId}-${spanId}-00-more`)).toEqual({ traceId, spanId, sampled: false });
});

test.each([
  undefined,
  "",
  "nonsense",
  `ff-${traceId}-${spanId}-01`,
  `00-${traceId}-${spanId}-01-more`,
  `00-${"0".repeat(32)}-${spanId}-01`,
  `00-${traceId}-${"0".repeat(16)}-01`,
  `00-${traceId.toUpperCase()}-${spanId}-01`,
])("%j is no trace", (header) => {
  expect(parseTraceparent(header)).toBe(undefined);
});

test("a state that is too long is dropped, the trace is kept", () => {
  expect(parseTraceparent(`00-${traceId}-${spanId}-01`, "x".repeat(513))).toEqual({
    traceId,
    spanId,
    sampled: true,
  });
});

test("whatever the header, parsing does not throw", () => {
  fc.assert(fc.property(fc.string(), (header) => void parseTraceparent(header)));
});

test("what is made is valid, even when the random bytes are all zero", () => {
  const zeros = (bytes: number) => "00".repeat(bytes);
  const root = newTrace(zeros);
  expect(parseTraceparent(formatTraceparent(root))).toEqual(root);
  const child = childTrace({ traceId, spanId, sampled: true, state: "a=b" }, (bytes) => "ab".repeat(bytes));
  expect(child).toEqual({ traceId, spanId: "abababababababab", sampled: true, state: "a=b" });
});
