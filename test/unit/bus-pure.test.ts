import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
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

  /** A machine whose PATH holds only these shell scripts; nothing else of it is used. */
  async function machine(scripts: Record<string, string>): Promise<{
    folder: string;
    install: () => Promise<string>;
    lines: string[];
  }> {
    const folder = await mkdtemp(join(tmpdir(), "covote-machine-"));
    await symlink("/usr/bin/env", join(folder, "env"));
    for (const [name, script] of Object.entries(scripts)) {
      await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    const lines: string[] = [];
    const places = { system: [], tools: join(folder, "tools") };
    return {
      folder,
      lines,
      install: () => installNatsServer({ env: { PATH: folder }, places, log: (line) => lines.push(line) }),
    };
  }

  const builds = `printf '#!/bin/sh\\n# %s' "$2" > "$GOBIN/nats-server" && /bin/chmod +x "$GOBIN/nats-server"`;

  test("the first way that works wins: here Homebrew fails and Go builds one for its version", async () => {
    const { folder, install, lines } = await machine({
      brew: '[ "$1" = --version ] || { echo "no bottle" >&2; exit 1; }',
      go: `case "$1" in version) echo "go version go1.22.1 linux/amd64";; install) ${builds};; esac`,
    });
    const path = await install();
    expect(path).toBe(join(folder, "tools", "nats-server"));
    expect(await readFile(path, "utf8")).toContain("github.com/nats-io/nats-server/v2@v2.10.24");
    expect(lines.filter((line) => !line.includes("apt-get"))).toEqual([
      "installing nats-server with Homebrew",
      "Homebrew did not work: no bottle",
      "installing nats-server with go install",
    ]);
    await rm(folder, { recursive: true });
  });

  test("where no way works, one message names the three commands", async () => {
    const { folder, install } = await machine({ go: 'echo "go version go1.15 linux/amd64"' });
    await expect(install()).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringMatching(/apt-get install nats-server.*brew install nats-server.*go install/),
    });
    await rm(folder, { recursive: true });
  });
});
