import { Metadata } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { CovoteError, type ErrorCode, errorCodes } from "../../../lib/core/errors.js";
import { fromServiceError, toServiceError } from "../../../lib/wire/status.js";

const codes = Object.keys(errorCodes) as ErrorCode[];

describe("an error crosses gRPC", () => {
  test.each(codes)("%s stays what it is", (code) => {
    const error = new CovoteError(code, "votes: too many", { field: "votes", retryAfterMs: 1500.2 });
    const sent = toServiceError(error);
    expect(sent.code).toBe(errorCodes[code].grpc);
    const received = fromServiceError(sent);
    expect(received).toMatchObject({ code, message: "votes: too many", field: "votes", retryAfterMs: 1501 });
  });
  test("without a field and a time there is none", () => {
    const received = fromServiceError(toServiceError(new CovoteError("internal", "x")));
    expect([received.field, received.retryAfterMs]).toEqual([undefined, undefined]);
  });
  test("only the first line of a message goes out, and a field that is not ASCII stays behind", () => {
    const sent = toServiceError(new CovoteError("internal", "one\ntwo", { field: "größe" }));
    expect(sent.details).toBe("one");
    expect(fromServiceError(sent).field).toBe(undefined);
  });
});

test.each([
  [16, "failed_precondition"],
  [12, "failed_precondition"],
  [10, "unavailable"],
  [2, "internal"],
])("status %i of another server is %s", (status, code) => {
  const error = Object.assign(new Error("x"), { code: status, details: "x", metadata: new Metadata() });
  expect(fromServiceError(error).code).toBe(code);
});

test("no two codes share a status", () => {
  expect(new Set(codes.map((code) => errorCodes[code].grpc)).size).toBe(codes.length);
});
