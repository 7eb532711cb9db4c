import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../lib/core/clock.js";
import { CovoteError } from "../../../lib/core/errors.js";
import { silentLogger } from "../../../lib/core/logger.js";
import { packagePath } from "../../../lib/core/package-root.js";
import { createRandom } from "../../../lib/core/random.js";
import {
  type OpenAiScorer,
  type OpenAiScorerOptions,
  openOpenAiScorer,
} from "../../../lib/engine/openai-scalar.js";
import { type ScalarRoute, scalarForms } from "../../../lib/engine/openai-scalar-wire.js";
import type { ChatMessage } from "../../../lib/grm/chat.js";
import { openTokenizerFiles } from "../../../lib/llama/checkpoint.js";
import { createTokenizer } from "../../../lib/llama/tokenizer.js";
import {
  type EngineServer,
  type EngineServerOptions,
  startEngineServer,
} from "../../support/engine-server.js";
import { countingMeter } from "../../support/openai-engine.js";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function serve(options: EngineServerOptions): Promise<EngineServer> {
  const server = await startEngineServer(options);
  stops.push(server.stop);
  return server;
}

async function open(
  servers: readonly EngineServer[],
  over: Partial<OpenAiScorerOptions> = {},
): Promise<OpenAiScorer> {
  const scorer = await openOpenAiScorer({
    field: "metaRm.engine",
    endpoints: servers.map(({ url }) => url),
    ...{ model: null, server: "auto", apiKey: null, ca: null, tokenizer: null, route: "auto" },
    ...{ connectTimeoutMs: 1000, requestTimeoutMs: 10_000, startTimeoutMs: 1000 },
    ...{ concurrency: 4, retryShare: 0.1, hedgeShare: 0 },
    ...{ clock: systemClock(), random: createRandom(1), log: silentLogger, meter: countingMeter() },
    ...over,
  });
  stops.push(scorer.close);
  return scorer;
}

const judged = (judgment: string): ChatMessage[] => [
  { role: "user", content: "which" },
  { role: "assistant", content: judgment },
];
/** By the last number in the text. */
const logit = (text: string): number => Number(/-?\d[\d.]*$/.exec(text)?.[0] ?? 0.25);
const tokenizer = createTokenizer(await openTokenizerFiles(packagePath("models", "postcards-meta-rm")));

describe("a reward model on servers", () => {
  test.each<ScalarRoute>(["classify", "pooling", "score"])(
    "scores by vLLM's /%s, raw and in order",
    async (route) => {
      const server = await serve({ kind: "vllm", logit });
      const scorer = await open([server], { route });
      const many = Array.from({ length: 30 }, (_, i) => judged(`is ${i - 7.5}`));
      expect(await scorer.score(many, {})).toEqual(many.map((_, i) => i - 7.5));
      expect(server.questions.at(-1)).toMatchObject({
        path: `/${route}`,
        body: { use_activation: false, model: "judge" },
      });
    },
  );

  test.each<ScalarRoute>(["classify", "embeddings"])(
    "scores by SGLang's %s, which gets tokens",
    async (route) => {
      const server = await serve({ kind: "sglang", logit: (ids) => ids.split(" ").length });
      const scorer = await open([server], { route, tokenizer });
      const conversation = judged("scores 7 3");
      const tokens = tokenizer.chat(conversation, { addGenerationPrompt: false });
      expect(await scorer.score([conversation], {})).toEqual([tokens.length]);
      expect(server.questions.at(-1)?.path).toBe(scalarForms("sglang")[route]?.path);
    },
  );

  test("a server that gives probabilities whatever it is asked has its logits computed from them", async () => {
    const scorer = await open([await serve({ kind: "vllm", logit, alwaysActivates: true })]);
    const [score] = await scorer.score([judged("is 2.5")], {});
    expect(score).toBeCloseTo(2.5, 9);
  });

  test("an item that cannot be scored is an error in its place; its neighbours have their scores", async () => {
    const scorer = await open([await serve({ kind: "vllm", logit, maxModelLen: 60 })]);
    const [first, tooLong, last] = await scorer.score(
      [judged("1"), judged("word ".repeat(30)), judged("2")],
      {},
    );
    expect([first, last]).toEqual([1, 2]);
    expect(tooLong).toMatchObject({ code: "invalid_argument", field: "messages" });
  });

  test("what is no finite number is refused, not passed on", async () => {
    const server = await serve({ kind: "vllm", logit: (text) => (text.endsWith("odd") ? Number.NaN : 1) });
    const [fine, odd] = await (await open([server])).score([judged("fine"), judged("odd")], {});
    expect(fine).toBe(1);
    expect(odd).toBeInstanceOf(CovoteError);
    expect((odd as CovoteError).message).toMatch(/\/classify gave no finite number: \[null\]$/);
  });

  test("with one of two servers gone, every item still has its score", async () => {
    const servers = [await serve({ kind: "vllm", logit }), await serve({ kind: "vllm", logit })];
    const scorer = await open(servers);
    servers[0]?.die();
    const many = Array.from({ length: 20 }, (_, i) => judged(`${i}`));
    expect(await scorer.score(many, {})).toEqual(many.map((_, i) => i));
  });

  test("with all servers gone the call fails, to be made again", async () => {
    const server = await serve({ kind: "vllm", logit });
    const scorer = await open([server]);
    server.die();
    await expect(scorer.score([judged("1"), judged("2")], {})).rejects.toMatchObject({ code: "unavailable" });
  });

  test("what a server lacks is one line that names the setting", async () => {
    await expect(open([await serve({ kind: "sglang" })])).rejects.toMatchObject({
      message: expect.stringMatching(/^metaRm\.engine\.tokenizer: SGLang takes tokens at \/classify; give/),
    });
    await expect(open([await serve({ kind: "ollama" })])).rejects.toMatchObject({
      message: expect.stringMatching(
        /^metaRm\.engine\.route: Ollama is not known to score by any route; it has embeddings$/,
      ),
    });
  });
});
