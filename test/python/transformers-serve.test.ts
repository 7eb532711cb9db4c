/**
 * A server that is not ours, `transformers serve`, with the demo world's reward model behind a real grm-worker: the same
 * weights read by other code have to judge alike.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { silentLogger } from "../../lib/core/logger.js";
import { packagePath } from "../../lib/core/package-root.js";
import type { GenerateRequest } from "../../lib/engine/engine.js";
import { openLlamaEngine } from "../../lib/engine/llama.js";
import type { OpenAiEngine } from "../../lib/engine/openai.js";
import { grammars } from "../../lib/grm/grammar.js";
import { openTokenizerFiles } from "../../lib/llama/checkpoint.js";
import { createTokenizer } from "../../lib/llama/tokenizer.js";
import { NullReason } from "../../lib/wire/gen/covote/v1/common.js";
import { RewardServiceService } from "../../lib/wire/gen/covote/v1/reward.js";
import { startNats } from "../support/nats.js";
import { engineOn } from "../support/openai-engine.js";
import { openRewardCluster, scoreRequest } from "../support/reward-cluster.js";
import { covote } from "../support/terminal.js";

const checkpoint = packagePath("models", "postcards-grm");
const maxPositions = 128;
let server: ChildProcess | undefined;
let url = "";
let engine: OpenAiEngine;

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function startServer(port: number): ChildProcess {
  const args = ["serve", checkpoint, "--host", "127.0.0.1", "--port", String(port), "--device", "cpu"];
  // Nothing is to be looked for outside.
  const env = { ...process.env, HF_HUB_OFFLINE: "1", CUDA_VISIBLE_DEVICES: "", OMP_NUM_THREADS: "1" };
  return spawn(packagePath(".venv", "bin", "transformers"), args, { env, stdio: "ignore" });
}

const open = async (tokenizer: boolean): Promise<OpenAiEngine> =>
  engineOn([{ url }], {
    maxPositions,
    concurrency: 4,
    startTimeoutMs: 170_000,
    requestTimeoutMs: 60_000,
    log: silentLogger,
    tokenizer: tokenizer ? createTokenizer(await openTokenizerFiles(checkpoint)) : null,
  });

beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  server = startServer(port);
  engine = await open(false);
});
afterAll(async () => {
  await engine?.close();
  server?.kill("SIGKILL");
});

const query = [{ role: "user" as const, content: "query to friend from river be question thanks ." }];
const cards = [
  ["hello friend thanks for the river ?", "hello boss eight ."],
  ["we saw boat and fish .", "hey friend grateful we saw boat ?"],
  ["thanks friend ?", "blue tram two ."],
];
const asked = (responses: string[], over: Partial<GenerateRequest> = {}): GenerateRequest => ({
  id: `r-${responses.join("-")}`,
  messages: grammars.postcards.prompt({ query, responses }),
  ...{ maxTokens: 48, temperature: 0, seed: 1 },
  ...over,
});

test("greedy judgments are those of the embedded engine, by chat and by prompts that are written here", async () => {
  const own = await openLlamaEngine({ checkpoint, slots: 4 });
  const written = await open(true);
  try {
    for (const responses of cards) {
      const expected = await own.generate(asked(responses), {});
      for (const other of [engine, written]) {
        const judged = await other.generate(asked(responses), {});
        expect(judged.text.trim()).toBe(expected.text);
        expect([judged.finish, judged.promptTokens]).toEqual([expected.finish, expected.promptTokens]);
      }
      expect(written.countTokens(asked(responses).messages)).toBe(expected.promptTokens);
    }
  } finally {
    await written.close();
    await own.close();
  }
});

test("behind a grm-worker it gives rewards, with its weights' name, that a person can follow", async () => {
  await using nats = await startNats();
  await using cluster = await openRewardCluster({ nats, engines: [engine] });
  const answer = await cluster.client.unary(
    RewardServiceService.score,
    scoreRequest({
      texts: cards[0] as string[],
      query: { messages: query },
      options: { votes: 4, deadlineMs: 120_000 },
    }),
    { timeoutMs: 150_000 },
  );
  const [good, bad] = answer.rewards.map(({ value }) => value ?? Number.NaN) as [number, number];
  expect(good).toBeGreaterThan(bad);
  expect(answer.judgeVersion).toMatch(/postcards-grm@[0-9a-f]{8}\+postcards@postcards-1$/);
  const { judgment } = await cluster.client.unary(RewardServiceService.getJudgment, {
    judgmentId: answer.judgmentId,
  });
  expect(judgment?.votes[0]?.principles).toMatch(/(thanks|question) \d/);
});

test("score on the command line asks it as well", async () => {
  const settings = [
    ...["grm.engine.kind=openai", `grm.engine.endpoints=${url}`, `grm.engine.tokenizer=${checkpoint}`],
    ...[`grm.engine.maxPositions=${maxPositions}`, "grpc.address=127.0.0.1:0", "judging.deadlineMs=120000"],
  ].flatMap((setting) => ["--set", setting]);
  const responses = (cards[0] as string[]).flatMap((text) => ["--response", text]);
  const { code, out } = await covote([
    "score",
    "--json",
    "--query",
    query[0]!.content,
    ...responses,
    ...settings,
  ]);
  expect(code).toBe(0);
  const { rewards } = JSON.parse(out) as { rewards: { value: number | null }[] };
  expect(rewards.every(({ value }) => value !== null)).toBe(true);
});

test("killed, it leaves nulls with a reason, never a number", async () => {
  await using nats = await startNats();
  await using cluster = await openRewardCluster({ nats, engines: [engine] });
  server?.kill("SIGKILL");
  const { rewards } = await cluster.client.unary(
    RewardServiceService.score,
    scoreRequest({
      texts: cards[1] as string[],
      query: { messages: query },
      options: { votes: 2, deadlineMs: 20_000 },
    }),
    { timeoutMs: 60_000 },
  );
  expect(rewards.map(({ value }) => value)).toEqual([undefined, undefined]);
  for (const { nullReason } of rewards) {
    expect([NullReason.ENGINE_UNAVAILABLE, NullReason.DEADLINE]).toContain(nullReason);
  }
});
