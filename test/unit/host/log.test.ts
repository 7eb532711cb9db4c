import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CovoteError } from "../../../lib/core/errors.js";
import { createLogger } from "../../../lib/host/log.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "covote-log-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function linesOf(file: string): Record<string, unknown>[] {
  return readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("a line is JSON with time, level, service, message and the fields of the child", () => {
  const file = join(folder, "logs", "covote.log");
  const log = createLogger({ name: "grm-worker", level: "info", destination: file });
  log.child({ run_id: "r1" }).child({ judgment_id: "j1" }).info({ votes: 3 }, "tallied");
  log.debug("not written at this level");
  log.flush();
  expect(linesOf(file)).toEqual([
    {
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      service: "grm-worker",
      pid: process.pid,
      run_id: "r1",
      judgment_id: "j1",
      votes: 3,
      message: "tallied",
    },
  ]);
});

test("an expected error is logged with its code, a fault with its stack, both with their cause", () => {
  const file = join(folder, "covote.log");
  const log = createLogger({ name: "a", level: "info", destination: file });
  const cause = new TypeError("x is undefined");
  log.error({ error: new CovoteError("unavailable", "engine: gone", { cause }) }, "engine: gone");
  log.flush();
  const [line] = linesOf(file);
  expect(line?.error).toMatchObject({
    code: "unavailable",
    message: "engine: gone",
    cause: { type: "TypeError" },
  });
  expect(line?.error).not.toHaveProperty("stack");
  expect(line?.error).toHaveProperty("cause.stack", expect.stringContaining("log.test"));
});

test("a second process appends", () => {
  const file = join(folder, "covote.log");
  for (const name of ["a", "b"]) {
    const log = createLogger({ name, level: "info", destination: file });
    log.info("hello");
    log.flush();
  }
  expect(linesOf(file).map(({ service }) => service)).toEqual(["a", "b"]);
});

test("a destination that cannot be written is one line", () => {
  writeFileSync(join(folder, "file"), "");
  expect(() =>
    createLogger({ name: "a", level: "info", destination: join(folder, "file", "covote.log") }),
  ).toThrow(/^log file: cannot write .*covote\.log/);
});
