import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startNats } from "../support/nats.js";
import { type ModelFolders, writePostcardsModels } from "../support/postcards-models.js";
import { type CommandResult, covote, type FakeTerminal, fakeTerminal } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-up-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
let models: ModelFolders;
beforeAll(async () => {
  models = await writePostcardsModels(join(folder, "models"));
});

interface Addresses {
  nats: string;
  rewards: string;
  policy: string;
  services: { name: string; grpc: string | null; http: string | null; metrics: string }[];
  data: string;
}

interface Running {
  terminal: FakeTerminal;
  addresses: Addresses;
  readonly ended: Promise<CommandResult>;
  /** SIGTERM, and what came of it. */
  end(): Promise<CommandResult>;
}

/** `covote up --json` on free ports. */
async function up(data: string, ...more: string[]): Promise<Running> {
  const terminal = fakeTerminal();
  const free = ["--set", "grpc.address=127.0.0.1:0", "--set", "metrics.port=0", "--set", "log.level=warn"];
  const ended = covote(["up", "--json", "--data", data, ...free, ...models.flags, ...more], terminal);
  await Promise.race([
    terminal.written("}\n"),
    ended.then(({ err }) => Promise.reject(new Error(`up ended early: ${err}`))),
  ]);
  return {
    terminal,
    ended,
    addresses: JSON.parse(terminal.out()) as Addresses,
    end: () => {
      terminal.send("SIGTERM");
      return ended;
    },
  };
}

const score = (address: string): Promise<CommandResult> =>
  covote(["score", "--address", address, "--query", "query to aunt", "--response", "hey", "--json"]);

async function statusOf(url: string): Promise<number> {
  return (await fetch(url)).status;
}

describe("covote up", () => {
  test("says where everything listens, serves until SIGTERM, and drains", async () => {
    const data = join(folder, "up");
    const cluster = await up(data, "--http", "127.0.0.1:0");
    const { rewards, policy, services, nats } = cluster.addresses;
    const { http } = services[0] as { http: string };
    const body = JSON.stringify({ query: "query to aunt", responses: ["hey"] });
    const overHttp = await fetch(`http://${http}/v1/rewards`, { method: "POST", body });
    expect(overHttp.status).toBe(200);
    expect(((await overHttp.json()) as { rewards: object[] }).rewards).toHaveLength(1);
    expect(policy).toBe(rewards);
    expect(services.map(({ name }) => name)).toEqual(["covote"]);
    expect(await statusOf(`http://${services[0]?.metrics}/readyz`)).toBe(200);
    const answer = JSON.parse((await score(rewards)).out) as { rewards: object[]; judge_version: string };
    expect(answer.rewards).toHaveLength(1);
    expect(answer.judge_version).toMatch(/^grm.*\+postcards@postcards-1$/);

    const { code, err } = await cluster.end();
    expect([code, err]).toEqual([0, ""]);
    expect(existsSync(join(data, "nats", "nats.pid"))).toBe(false);
    const after = await score(rewards);
    expect([after.code, after.err]).toEqual([
      2,
      `covote: --address: nothing listens on ${rewards}; start a cluster with covote up, or leave --address out\n`,
    ]);
    await expect(statusOf(nats.replace("nats:", "http:"))).rejects.toThrow();
  });

  test("covote status lists the services, queues and models of the cluster", async () => {
    const cluster = await up(join(folder, "status"), "--grm-workers", "2");
    const { rewards } = cluster.addresses;
    const { out } = await covote(["status", "--address", rewards, "--json"]);
    const status = JSON.parse(out) as { services: { name: string; version: string }[]; queues: object[] };
    expect(status.services.map(({ name }) => name)).toEqual([
      "grm-worker-1",
      "grm-worker-2",
      "meta-rm",
      "policy-sampler",
      "vote-aggregator",
    ]);
    for (const { version } of status.services) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(status.queues).toHaveLength(4);
    expect(status.queues).toContainEqual({
      queue: "ballots",
      pending: 0,
      in_flight: 0,
      redelivered: 0,
      dead_letters: 0,
    });
    const shown = await covote(["status", "--address", rewards]);
    expect(shown.out).toMatch(/^ {2}vote-aggregator {2}0:0\d$/m);
    await cluster.end();
  });

  test("its own nats-server that is killed comes back, and the cluster with it", async () => {
    const data = join(folder, "killed");
    const cluster = await up(data);
    const pid = Number(readFileSync(join(data, "nats", "nats.pid"), "utf8"));
    process.kill(pid, "SIGKILL");
    const { code, out } = await score(cluster.addresses.rewards);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ partial: false });
    expect(Number(readFileSync(join(data, "nats", "nats.pid"), "utf8"))).not.toBe(pid);
    expect((await cluster.end()).code).toBe(0);
  });

  test("a NATS of somebody else's that stays away ends it with one line", async () => {
    await using nats = await startNats();
    const short = ["nats.outageTimeoutMs=1000", "cluster.drainTimeoutMs=1000"];
    const flags = [`nats.url=${nats.url}`, ...short].flatMap((setting) => ["--set", setting]);
    const cluster = await up(join(folder, "outage"), ...flags);
    await nats.server.kill("SIGKILL");
    const { code, err } = await cluster.ended;
    expect(err).toBe(
      `covote: NATS at ${nats.url} has been away for 1000 ms (nats.outageTimeoutMs); start it again\n`,
    );
    expect(code).toBe(2);
  });

  test("--processes runs every service as a process, found by the same commands", async () => {
    const data = join(folder, "processes");
    const cluster = await up(data, "--processes", "--grm-workers", "2");
    const { rewards, services } = cluster.addresses;
    expect(services.map(({ name }) => name).sort()).toEqual([
      "grm-worker-1",
      "grm-worker-2",
      "meta-rm",
      "policy-sampler",
      "vote-aggregator",
    ]);
    for (const { metrics } of services) expect(await statusOf(`http://${metrics}/healthz`)).toBe(200);
    expect((await score(rewards)).code).toBe(0);
    const status = JSON.parse((await covote(["status", "--address", rewards, "--json"])).out);
    expect((status as { services: object[] }).services).toHaveLength(5);
    const configs = (): string[] => readdirSync(join(data, "config"));
    expect(configs()).toHaveLength(5);
    const { code, err } = await cluster.end();
    expect([code, err]).toEqual([0, ""]);
    // They hold the password of NATS.
    expect(configs()).toEqual([]);
  }, 60_000);

  test("a used port is refused before anything is started or written", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = (taken as Server).address() as { port: number };
    const data = join(folder, "never");
    const fix = "stop the process that uses it, or choose another port (0 takes a free one)";
    for (const processes of [[], ["--processes"]]) {
      const grpc = ["--set", `grpc.address=127.0.0.1:${port}`, "--set", "metrics.port=0"];
      expect(await covote(["up", "--data", data, ...models.flags, ...grpc, ...processes])).toEqual({
        code: 2,
        out: "",
        err: `covote: grpc.address: 127.0.0.1:${port} is in use; ${fix}\n`,
      });
      const metrics = ["--set", "grpc.address=127.0.0.1:0", "--set", `metrics.port=${port}`];
      expect((await covote(["up", "--data", data, ...models.flags, ...metrics, ...processes])).err).toBe(
        `covote: metrics.port: 127.0.0.1:${port} is in use; ${fix}\n`,
      );
    }
    expect(existsSync(data)).toBe(false);
    taken.close();
  });
});
