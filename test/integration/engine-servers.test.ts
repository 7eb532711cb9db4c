/** Reward models on servers, through the commands that people type. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { type EngineServer, startEngineServer } from "../support/engine-server.js";
import { panelOf, qualityOf } from "../support/reward-cluster.js";
import { covote, fakeTerminal } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-servers-"));
const apiKey = "sk-of-the-test";
const judge = postcardsJudgment({ panelOf, quality: qualityOf });
let servers: EngineServer[] = [];
beforeAll(async () => {
  servers = await Promise.all(
    [1, 2].map(() =>
      startEngineServer({
        ...{ kind: "vllm", model: "org/judge", apiKey },
        respond: ({ messages, seed }) => judge({ id: "", messages, seed, maxTokens: 64, temperature: 1 }),
      }),
    ),
  );
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

const onServers = (...more: string[]): string[] =>
  [
    "grm.engine.kind=openai",
    `grm.engine.endpoints=${servers.map(({ url }) => url).join(",")}`,
    "grpc.address=127.0.0.1:0",
    "metrics.port=0",
    "metaRm.keep=0",
    ...more,
  ].flatMap((setting) => ["--set", setting]);
const group = ["--query", "query to friend", "--response", "good 2", "--response", "good 9"];

interface Answer {
  rewards: { value: number | null }[];
  judge_version: string;
}

test("score asks the servers, with the key from the environment, and names their weights on the reward", async () => {
  const terminal = fakeTerminal({ env: { JUDGE_KEY: apiKey } });
  const flags = onServers("grm.engine.apiKeyEnv=JUDGE_KEY");
  const { code, out, err } = await covote(["score", "--json", ...group, ...flags], terminal);
  expect([code, err.includes(apiKey)]).toEqual([0, false]);
  const { rewards, judge_version } = JSON.parse(out) as Answer;
  expect(rewards.map(({ value }) => value)).toEqual([3, 10]);
  expect(judge_version).toMatch(/^org\/judge@[0-9a-f]{8}\+postcards@postcards-1$/);
  const votes = servers.map(({ asked }) => asked.filter(({ body }) => body.max_tokens !== 1).length);
  expect(votes[0]! + votes[1]!).toBe(4);
});

test("a meta RM on a server scores the votes", async () => {
  const meta = await startEngineServer({ kind: "vllm", model: "meta", logit: (text) => text.length / 100 });
  try {
    const terminal = fakeTerminal({ env: { JUDGE_KEY: apiKey } });
    const more = [
      "grm.engine.apiKeyEnv=JUDGE_KEY",
      "metaRm.engine.kind=openai",
      `metaRm.engine.endpoints=${meta.url}`,
    ];
    const flags = [...onServers(...more), "--set", "metaRm.keep=2"];
    const { code, out } = await covote(["score", "--json", ...group, ...flags], terminal);
    expect(code).toBe(0);
    const answer = JSON.parse(out) as Answer & {
      meta_version: string;
      votes: { meta_score: number | null }[];
    };
    expect(answer.meta_version).toMatch(/^meta@[0-9a-f]{8}$/);
    expect(answer.votes.every(({ meta_score }) => (meta_score ?? 0) > 0)).toBe(true);
  } finally {
    await meta.stop();
  }
});

test("a key that is nowhere is one line that names the setting, before anything starts", async () => {
  const flags = onServers("grm.engine.apiKeyEnv=JUDGE_KEY");
  const { code, err } = await covote(["score", ...group, ...flags]);
  expect([code, err]).toEqual([
    2,
    "covote: grm.engine.apiKeyEnv: the variable JUDGE_KEY holds no API key; set it\n",
  ]);
});

test("a model that learns cannot be on servers, which is said before the run begins", async () => {
  const flags = onServers("training.role=grm");
  const { code, err } = await covote(["spct", "rl", "--out", join(folder, "run"), ...flags]);
  expect(code).not.toBe(0);
  expect(err).toMatch(/^covote: grm\.engine\.kind: the servers of the grm that learns cannot be given/m);
});

test("up --processes: the worker's process asks the servers too, and its metrics show each of them", async () => {
  const keyFile = join(folder, "key");
  writeFileSync(keyFile, `${apiKey}\n`);
  const terminal = fakeTerminal();
  const flags = onServers(`grm.engine.apiKeyFile=${keyFile}`, "log.level=warn");
  const ended = covote(["up", "--json", "--processes", "--data", join(folder, "up"), ...flags], terminal);
  await Promise.race([
    terminal.written("}\n"),
    ended.then(({ err }) => Promise.reject(new Error(`up ended early: ${err}`))),
  ]);
  const { rewards, services } = JSON.parse(terminal.out()) as {
    rewards: string;
    services: { name: string; metrics: string }[];
  };
  const scored = await covote(["score", "--json", "--address", rewards, ...group]);
  expect((JSON.parse(scored.out) as Answer).rewards.map(({ value }) => value)).toEqual([3, 10]);
  const worker = services.find(({ name }) => name === "grm-worker-1");
  const text = await (await fetch(`http://${worker?.metrics}/metrics`)).text();
  for (const { name } of servers) {
    expect(text).toContain(
      `covote_engine_endpoint_state{endpoint="${name}",state="healthy",service="grm-worker"} 1`,
    );
    expect(text).toContain(`covote_engine_attempts_total{endpoint="${name}",outcome="answered"`);
  }
  terminal.send("SIGTERM");
  expect((await ended).code).toBe(0);
});
