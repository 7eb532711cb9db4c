import { expect, test } from "vitest";
import { CovoteError, invalid } from "../../../lib/core/errors.js";
import { errorLine, exitCodeOf } from "../../../lib/host/main.js";

test("an expected error is its message, in one line", () => {
  expect(errorLine("covote", invalid("judging.votes", "must be at least 1, got 0"))).toBe(
    "covote: judging.votes: must be at least 1, got 0",
  );
});

test("a fault says that it is one, and how to see more", () => {
  expect(errorLine("covote", new TypeError("x is undefined\n    at y"))).toBe(
    "covote: internal error: x is undefined (COVOTE_DEBUG=1 shows where)",
  );
});

test.each([
  ["invalid_argument", 2],
  ["failed_precondition", 2],
  ["not_found", 2],
  ["unavailable", 2],
  ["internal", 1],
  ["deadline_exceeded", 1],
] as const)("%s exits with %i", (code, exit) => {
  expect(exitCodeOf(new CovoteError(code, "x"))).toBe(exit);
});
