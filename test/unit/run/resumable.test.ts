import { expect, test } from "vitest";
import type { StepRecord } from "../../../cli/run/records.js";
import { resumable } from "../../../cli/train/train.js";
import { CovoteError } from "../../../lib/core/errors.js";
import { exitCodeOf } from "../../../lib/host/main.js";

const folderWith = (steps: number) => ({
  path: "runs/one",
  file: () => "runs/no-such-file",
  records: () => new Array<StepRecord>(steps),
});
const gone = new CovoteError("unavailable", "grm-worker-1: ended 11 times within a minute");

test("a service that is gone before the run has begun: it could not start, exit code 2", () => {
  const thrown = resumable(gone, folderWith(0), "covote train --resume");
  expect(thrown).toBe(gone);
  expect(exitCodeOf(CovoteError.from(thrown))).toBe(2);
});

test("a service that is gone after the run has begun: exit code 1, and how to go on", () => {
  const thrown = CovoteError.from(
    resumable(gone, folderWith(3), "covote spct rft --out models/mine --resume"),
  );
  expect(exitCodeOf(thrown)).toBe(1);
  expect(thrown.message).toBe(
    `${gone.message}; go on with covote spct rft --out models/mine --resume runs/one`,
  );
});

test("a run that failed for good: exit code 1, and no word of going on", () => {
  const collapse = new CovoteError("failed_precondition", "collapsed at step 9: 93 % unparsable");
  const thrown = CovoteError.from(resumable(collapse, folderWith(8), "covote spct rl --resume"));
  expect(exitCodeOf(thrown)).toBe(1);
  expect(thrown.message).toBe(collapse.message);
});

test("a mistake of the program is no interruption", () => {
  const bug = new TypeError("x is undefined");
  expect(resumable(bug, folderWith(3), "covote train --resume")).toBe(bug);
});
