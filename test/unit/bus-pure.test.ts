import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { natsCapabilities } from "../../lib/bus/capabilities.js";
import { installNatsServer } from "../../lib/bus/install-nats-server.js";
import { errorFromHeaders, errorHeaders } from "../../lib/bus/nats-errors.js";
import { findNatsServer } from "../../lib/bus/nats-server.js";
import { channelOf, queueLimits } from "../../lib/bus/queues.js";
import { createSubjects } from "../../lib/bus/subjects.js";
import { CovoteError, type ErrorCode, errorCodes } from "../../lib/core/errors.js";

describe("capabilities", () => {
  test("follow from the version of the server", () => {
    expect(natsCapabilities("2.9.10")).toMatchObject({
      multipleFilters: false,
      termReason: false,
      messageTtl: false,
    });
    expect(natsCapabilities("2.10.24")).toMatchObject({
      multipleFilters: true,
      termReason: true,
      messageTtl: false,
    });
    expect(natsCapabilities("2.14.0-RC.1")).toMatchObject({ messageTtl: true, consumerPause: true });
  });

  test("a server that is too old is refused with the version that would do", () => {
    expect(() => natsCapabilities("2.8.4")).toThrow(/2\.8\.4 is too old: covote needs 2\.9\.4/);
  });
});

describe("subjects", () => {
  test("no text becomes more than one token", () => {
    const subjects = createSubjects("main");
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom("a", ".", "*", ">", " ", "\r", "\n") })),
        (id) => {
          try {
            expect(subjects.votes(id).split(".")).toEqual(["covote", "main", "votes", id]);
            expect(id).toMatch(/^[A-Za-z0-9_-]+$/);
          } catch (error) {
            expect(error).toMatchObject({ code: "invalid_argument", field: "votes.owner" });
          }
        },
      ),
    );
  });

  test("streams and buckets of two clusters never share a name", () => {
    const names = ["a", "b"].flatMap((c) => [
      createSubjects(c).stream("ballots"),
      createSubjects(c).resource("dead"),
    ]);
    expect(new Set(names).size).toBe(4);
  });
});

describe("queues", () => {
  test("channels are checked", () => {
    expect(channelOf("ballots", undefined)).toBe("hi");
    expect(channelOf("ballots", "lo")).toBe("lo");
    expect(() => channelOf("ballots", "middle")).toThrow(/must be one of hi, lo/);
    expect(channelOf("experience", "run-1")).toBe("run-1");
    expect(() => channelOf("experience", undefined)).toThrow(/experience\.subjectToken/);
  });

  test("overrides replace single bounds", () => {
    const limits = queueLimits({ ballots: { maxMessages: 7 } });
    expect(limits.ballots).toMatchObject({ maxMessages: 7, storage: "memory" });
    expect(limits.rollouts.storage).toBe("file");
  });
});

test("every error code survives the way through headers", () => {
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    const error = new CovoteError(code, "what happened", { field: "votes.k", retryAfterMs: 12 });
    expect(errorFromHeaders(errorHeaders(error))).toMatchObject({
      code,
      message: "what happened",
      field: "votes.k",
      retryAfterMs: 12,
    });
  }
  expect(errorFromHeaders(undefined)).toBeUndefined();
});

describe("finding nats-server", () => {
  test("NATS_SERVER comes first, then PATH; a wrong NATS_SERVER is an error that names it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "covote-path-"));
    const executable = join(folder, "nats-server");
    await writeFile(executable, "#!/bin/sh\n", { mode: 0o755 });
    expect(findNatsServer({ NATS_SERVER: executable, PATH: "/nowhere" })).toBe(executable);
    expect(findNatsServer({ PATH: `/nowhere:${folder}` })).toBe(executable);
    expect(() => findNatsServer({ NATS_SERVER: "/nowhere/nats-server" })).toThrow(
      "NATS_SERVER: /nowhere/nats-server is not an executable file",
    );
    await rm(folder, { recursive: true });
  });

  test("installing does nothing where there is one", async () => {
    const lines: string[] = [];
    const path = await installNatsServer({ env: process.env, log: (line) => lines.push(line) });
    expect(path).toMatch(/nats-server$/);
    expect(lines).toEqual([]);
  });
});
