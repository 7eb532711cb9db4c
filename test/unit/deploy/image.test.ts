/**
 * The image, without an engine that could build it: what deploy/Dockerfile copies is there and not ignored, what it runs as
 * is nobody, and the files of its last stage, laid out as it says, are enough for covote to run.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { packagePath } from "../../../lib/core/package-root.js";

interface Instruction {
  name: string;
  args: string;
}

const dockerfile = readFileSync(packagePath("deploy/Dockerfile"), "utf8");
const instructions: Instruction[] = dockerfile
  .replace(/^#.*\n/gm, "")
  .replace(/\\\n/g, " ")
  .split("\n")
  .map((line) => /^([A-Z]+)\s+(.*)$/.exec(line.trim()))
  .filter((match) => match !== null)
  .map(([, name, args]) => ({ name: name as string, args: (args as string).trim() }));
const lastFrom = instructions.findLastIndex(({ name }) => name === "FROM");
const stages = instructions.filter(({ name }) => name === "FROM");
const final = instructions.slice(lastFrom + 1);

interface Copy {
  from: string | null;
  sources: string[];
  target: string;
}

const copiesOf = (list: readonly Instruction[]): Copy[] =>
  list
    .filter(({ name }) => name === "COPY")
    .map(({ args }) => {
      const words = args.split(/\s+/);
      const from = words[0]?.startsWith("--from=") ? (words.shift() as string).slice(7) : null;
      return { from, sources: words.slice(0, -1), target: words.at(-1) as string };
    });

/** Whether the builder may see the path: the last matching line of .dockerignore decides. */
function isSeen(path: string): boolean {
  const lines = readFileSync(packagePath(".dockerignore"), "utf8").split("\n");
  let seen = true;
  for (const line of lines.filter((text) => text !== "" && !text.startsWith("#"))) {
    const pattern = line.replace(/^!/, "");
    const [top] = path.split("/");
    if (pattern === "*" || pattern === path || pattern === top) seen = line.startsWith("!");
  }
  return seen;
}

describe("deploy/Dockerfile", () => {
  test("builds on one pinned image that has Node in the version that the package needs", () => {
    const images = stages.map(({ args }) => args.split(/\s+/)[0]);
    expect(new Set(images).size).toBe(1);
    const version = /^node:(\d+)\.(\d+)-bookworm-slim$/.exec(images[0] as string);
    expect(version).not.toBeNull();
    const { engines } = JSON.parse(readFileSync(packagePath("package.json"), "utf8"));
    const [major, minor] = engines.node.match(/\d+/g).map(Number);
    expect([Number(version?.[1]), Number(version?.[2]) >= minor]).toEqual([major, true]);
  });

  test("copies what is there and is not hidden from the builder", () => {
    for (const { sources } of copiesOf(instructions).filter(({ from }) => from === null)) {
      for (const source of sources) {
        expect(existsSync(packagePath(source)), source).toBe(true);
        expect(isSeen(source), `${source} in .dockerignore`).toBe(true);
      }
    }
    for (const hidden of ["node_modules", "dist", ".git", "runs", ".tools", "test", "docs"]) {
      expect(isSeen(hidden), hidden).toBe(false);
    }
  });

  test("compiles every folder that the services import from", () => {
    const compiled = copiesOf(instructions.slice(0, lastFrom)).flatMap(({ sources }) => sources);
    expect(compiled).toEqual(expect.arrayContaining(["lib", "services", "worlds", "cli", "tsconfig.json"]));
  });

  test("ends as nobody, with a command that needs no shell", () => {
    const user = final.findLast(({ name }) => name === "USER")?.args ?? "";
    expect(user).toMatch(/^[1-9]\d{3,}:[1-9]\d{3,}$/);
    expect(final.at(-1)).toEqual({ name: "ENTRYPOINT", args: '["node", "bin/covote.js"]' });
    expect(instructions.map(({ name }) => name)).not.toContain("ADD");
  });

  test("takes no development packages along", () => {
    const installs = instructions.filter(({ args }) => args.includes("npm ci"));
    expect(installs.map(({ args }) => args.includes("--omit=dev"))).toEqual([true, false]);
    expect(copiesOf(final).find(({ target }) => target === "node_modules")?.from).toBe("packages");
  });
});

describe("the image's files", () => {
  const app = mkdtempSync(join(tmpdir(), "covote-image-"));
  afterAll(() => rmSync(app, { recursive: true, force: true, maxRetries: 5 }));

  /** As the last stage lays them out; packages as `npm ci --omit=dev` would choose them. */
  function layOut(): void {
    for (const { from, sources, target } of copiesOf(final)) {
      for (const source of sources) {
        const name = source.replace("/app/", "");
        if (from === "packages") linkPackages();
        else if (from === "build") {
          for (const folder of ["lib", "services", "worlds", "cli"]) {
            cpSync(packagePath("dist", folder), join(app, "dist", folder), { recursive: true });
          }
        } else {
          const to = target === "./" ? join(app, name) : join(app, target);
          cpSync(packagePath(source), to, { recursive: true });
        }
      }
    }
  }

  function linkPackages(): void {
    const { packages } = JSON.parse(readFileSync(packagePath("package-lock.json"), "utf8")) as {
      packages: Record<string, { dev?: boolean }>;
    };
    for (const [path, { dev }] of Object.entries(packages)) {
      const nested = path.indexOf("/node_modules/", 1);
      if (path === "" || dev === true || nested > 0 || !existsSync(packagePath(path))) continue;
      mkdirSync(dirname(join(app, path)), { recursive: true });
      symlinkSync(packagePath(path), join(app, path));
    }
  }

  const run = (...args: string[]) =>
    spawnSync(process.execPath, ["--preserve-symlinks", ...args], {
      cwd: app,
      encoding: "utf8",
      env: { PATH: process.env.PATH ?? "", NODE_ENV: "production" },
    });

  test("are enough to judge with the small models, and for services to start", () => {
    layOut();
    expect(existsSync(join(app, "node_modules", "typescript"))).toBe(false);
    const scored = run(
      ...["bin/covote.js", "score", "--set", "grpc.address=127.0.0.1:0", "--json", "--votes", "2"],
      ...[
        "--query",
        "query to aunt from sea be thanks .",
        "--response",
        "dear aunt shells thanks",
        "--response",
        "hey",
      ],
    );
    expect(scored.stderr).toMatch(/^covote: no cluster is named: starting the judging services here/);
    expect(JSON.parse(scored.stdout).rewards).toHaveLength(2);
    for (const service of ["grpo-learner", "nats-steward"]) {
      expect(run(`dist/services/${service}/main.js`)).toMatchObject({
        status: 2,
        stderr: `${service}: nats.url: is not set; a service of its own needs a running NATS\n`,
      });
    }
  }, 60_000);
});
