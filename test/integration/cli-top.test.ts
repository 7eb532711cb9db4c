import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { writePostcardsModels } from "../support/postcards-models.js";
import { covote, fakeTerminal } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-top-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** Slow machines take their time. */
const wait = { timeout: 15_000 };

interface Top {
  loads: { role: string; reporters: number; slots: number; utilisation: number | null }[];
  queues: { queue: string }[];
  decisions: {
    reason: string;
    actuator: string;
    pools: { pool: string; replicas: number; ready: number; target: number }[];
    actions: { pool: string; from: number; to: number; outcome: string }[];
  }[];
}

test("a machine's pool grows to its least size, and covote top shows who decided it and why", async () => {
  const models = await writePostcardsModels(join(folder, "models"));
  const terminal = fakeTerminal();
  const set = (path: string, value: unknown): string[] => ["--set", `${path}=${value}`];
  const ended = covote(
    [
      ...["up", "--json", "--data", join(folder, "up"), ...models.flags],
      ...set("grpc.address", "127.0.0.1:0"),
      ...set("metrics.port", 0),
      ...set("log.level", "warn"),
      ...set("scaling.enabled", true),
      ...set("scaling.intervalMs", 100),
      ...set("scaling.reportIntervalMs", 100),
      ...set("scaling.pools.grm.min", 3),
    ],
    terminal,
  );
  await Promise.race([terminal.written("}\n"), ended]);
  const { rewards } = JSON.parse(terminal.out()) as { rewards: string };
  const top = async (...more: string[]): Promise<string> => {
    const { out, err, code } = await covote(["top", "--address", rewards, ...more]);
    expect([err, code]).toEqual(["", 0]);
    return out;
  };
  const json = async (): Promise<Top> => JSON.parse(await top("--json")) as Top;

  await expect
    .poll(async () => (await json()).loads.find(({ role }) => role === "grm")?.reporters, wait)
    .toBe(3);
  await expect
    .poll(async () => (await json()).decisions.at(-1)?.pools[1])
    .toMatchObject({
      ...{ pool: "grm", replicas: 3, ready: 3, target: 3 },
    });
  const { loads, queues, decisions } = await json();
  expect(loads.map(({ role }) => role)).toEqual(["policy", "grm", "meta-rm", "aggregator"]);
  expect(loads.filter(({ slots }) => slots > 0).every(({ utilisation }) => utilisation !== null)).toBe(true);
  expect(queues).toHaveLength(4);
  const grown = decisions.find(({ actions }) => actions.length > 0);
  expect(grown).toMatchObject({
    ...{ reason: "fitted", actuator: "local" },
    actions: [{ pool: "grm", from: 1, to: 3, outcome: "scaled" }],
  });
  const text = await top();
  expect(text).toMatch(/grm 1→3: fitted/);
  expect(text).toMatch(/held by metrics_missing \(work\.responsesPerStep\)/);
  // Rewards come from the grown pool.
  const score = ["--query", "query to aunt", "--response", "hey", "--json"];
  expect((await covote(["score", "--address", rewards, ...score])).code).toBe(0);
  terminal.send("SIGTERM");
  expect(await ended).toMatchObject({ code: 0, err: "" });
});

test("what covote top cannot do is one line", async () => {
  expect(await covote(["top", "--decisions", "0"])).toMatchObject({
    ...{ code: 2, err: 'covote: --decisions: must be a whole number from 1 to 200, got "0"\n' },
  });
  const { code, err } = await covote(["top", "--address", "127.0.0.1:1"]);
  expect([code, err.trimEnd().split("\n").length]).toEqual([2, 1]);
  expect(err).toContain("--address");
});

test("a co-scaler whose settings cannot be is refused by name", async () => {
  const refused = async (...settings: string[]): Promise<string> =>
    (await covote(["config", ...settings.flatMap((setting) => ["--set", setting])])).err;
  expect(await refused("scaling.budgetGpus=2")).toContain(
    "covote: scaling.budgetGpus: must hold the pools' minimums, which take 3 GPUs, got 2; raise it or lower scaling.pools.*.min",
  );
  expect(await refused("scaling.pools.grm.min=0")).toContain("scaling.pools.grm.min: must be at least 1");
  expect(await refused("scaling.pools.grm.max=0")).toContain(
    "scaling.pools.grm.max: must be at least min (1)",
  );
  expect(await refused("scaling.kubernetes.renewMs=15000")).toContain(
    "scaling.kubernetes.renewMs: must leave",
  );
  expect(await refused("scaling.votes.max=1")).toContain(
    "scaling.votes.max: must be at least scaling.votes.min",
  );
});
