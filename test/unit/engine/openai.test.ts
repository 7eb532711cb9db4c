import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { CovoteError } from "../../../lib/core/errors.js";
import { packagePath } from "../../../lib/core/package-root.js";
import type { OpenAiEngine, OpenAiEngineOptions } from "../../../lib/engine/openai.js";
import { openTokenizerFiles } from "../../../lib/llama/checkpoint.js";
import { createTokenizer } from "../../../lib/llama/tokenizer.js";
import { noOpenssl, selfSigned } from "../../support/certificates.js";
import {
  type EngineServer,
  type EngineServerKind,
  type EngineServerOptions,
  type Fault,
  startEngineServer,
} from "../../support/engine-server.js";
import { ask, engineOn } from "../../support/openai-engine.js";
import { recordingLogger } from "../../support/recording-logger.js";
import { until } from "../../support/reward-cluster.js";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function serve(options: EngineServerOptions): Promise<EngineServer> {
  const server = await startEngineServer(options);
  stops.push(server.stop);
  return server;
}

async function open(server: EngineServer, over: Partial<OpenAiEngineOptions> = {}): Promise<OpenAiEngine> {
  const engine = await engineOn([server], over);
  stops.push(engine.close);
  return engine;
}

async function errorOf(work: Promise<unknown>): Promise<CovoteError> {
  const thrown = await work.then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(thrown).toBeInstanceOf(CovoteError);
  expect((thrown as CovoteError).message).not.toContain("\n");
  return thrown as CovoteError;
}

const kinds: EngineServerKind[] = ["vllm", "sglang", "llama.cpp", "ollama", "hosted"];
const configured = { model: "judge", apiKey: "sk-secret-key" };

describe.each(kinds)("a server of the kind %s", (kind) => {
  const served = { kind, ...(kind === "hosted" ? { apiKey: configured.apiKey } : {}) };

  test("answers a request with its text, its tokens counted, and the version of its weights", async () => {
    const server = await serve({ ...served, respond: ({ seed }) => `scores 7 ${seed}` });
    const engine = await open(server, configured);
    const generation = await engine.generate(ask({ seed: 3 }), {});
    expect(generation).toMatchObject({ text: "scores 7 3", finish: "stop", cachedTokens: 0 });
    expect(generation.promptTokens).toBeGreaterThan(2);
    expect(generation.completionTokens).toBeGreaterThan(2);
    expect(generation.version).toMatch(/^judge@[0-9a-f]{8}$/);
    expect(engine.version().version).toBe(generation.version);
    expect(engine.load).toBeUndefined();
    const { body } = server.asked.at(-1) as EngineServer["asked"][number];
    expect(body).toMatchObject({ n: 1, stream: false, seed: 3, temperature: 0.5, model: "judge" });
  });

  test("is told the trace that its request belongs to, where there is one", async () => {
    const server = await serve({ ...served, respond: () => "scores 7" });
    const engine = await open(server, configured);
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await engine.generate(ask({ traceparent }), {});
    await engine.generate(ask({}), {});
    const told = server.asked.slice(-2).map(({ headers }) => headers.traceparent);
    expect(told).toEqual([traceparent, undefined]);
  });

  test("that stops at the limit of tokens says so", async () => {
    const engine = await open(
      await serve({ ...served, respond: () => "one two three four five" }),
      configured,
    );
    expect(await engine.generate(ask({ maxTokens: 3 }), {})).toMatchObject({ finish: "length" });
  });

  test("refuses a prompt that is too long by the field of the prompt", async () => {
    const server = await serve({ ...served, maxModelLen: 64 });
    const engine = await open(server, { ...configured, ...(kind === "ollama" && { maxPositions: 64 }) });
    const content = "word ".repeat(100);
    const error = await errorOf(engine.generate(ask({ messages: [{ role: "user", content }] }), {}));
    expect(error).toMatchObject({ code: "invalid_argument", field: "messages" });
  });

  test("is known by another version when it serves other weights, where it tells them apart", async () => {
    const first = await serve(served);
    const second = await serve(served);
    second.weights = "weights-number-2";
    const versions = [];
    for (const server of [first, second]) versions.push((await open(server, configured)).version().version);
    expect(new Set(versions).size).toBe(kind === "hosted" ? 1 : 2);
  });
});

describe("what a server adds to the protocol", () => {
  test("vLLM and SGLang get the request's own id, and are told by it when nobody waits any more", async () => {
    for (const [kind, field, path] of [
      ["vllm", "request_id", "/abort_requests"],
      ["sglang", "rid", "/abort_request"],
    ] as const) {
      const server = await serve({ kind });
      const engine = await open(server);
      server.delayMs = 60_000;
      const gone = new AbortController();
      const answer = engine.generate(ask({ id: `mine-${kind}` }), { signal: gone.signal });
      await until("the request is there", () => server.running === 1);
      expect(server.asked.at(-1)?.body[field]).toBe(`mine-${kind}`);
      gone.abort();
      expect(await errorOf(answer)).toMatchObject({ code: "cancelled" });
      await until("it was given up", () => server.running === 0 && server.abandoned === 1);
      await until("it was aborted", () => server.questions.some((question) => question.path === path));
      expect(JSON.stringify(server.questions.at(-1)?.body)).toContain(`mine-${kind}`);
    }
  });

  test("others see the connection closed", async () => {
    for (const kind of ["llama.cpp", "ollama", "hosted"] as const) {
      const server = await serve({ kind });
      const engine = await open(server, configured);
      server.delayMs = 60_000;
      const gone = new AbortController();
      const answer = engine.generate(ask(), { signal: gone.signal });
      await until("the request is there", () => server.running === 1);
      gone.abort();
      expect(await errorOf(answer)).toMatchObject({ code: "cancelled" });
      await until("it was given up", () => server.running === 0);
    }
  });

  test("vLLM and SGLang begin an answer with given words, and keep the stop word in it", async () => {
    for (const kind of ["vllm", "sglang"] as const) {
      const server = await serve({
        kind,
        respond: ({ opening }) => `${opening === "principles" ? "thanks" : "?"} critique yes`,
      });
      const engine = await open(server);
      const request = ask({ opening: "principles", stop: ["critique"] });
      expect((await engine.generate(request, {})).text).toBe("thanks critique");
    }
  });

  test("where an answer cannot be begun or stopped so, that is refused by name", async () => {
    const engine = await open(await serve({ kind: "llama.cpp" }));
    expect(await errorOf(engine.generate(ask({ opening: "principles" }), {}))).toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/^opening: llama.cpp cannot .* engine\.tokenizer$/),
    });
    expect(await errorOf(engine.generate(ask({ stop: ["critique"] }), {}))).toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/^stop: llama.cpp takes the stop word out/),
    });
  });

  test("for training, token ids and log-probabilities are asked for, and what lacks them is named", async () => {
    const lines = recordingLogger();
    const trainable = await open(await serve({ kind: "vllm" }), { tokens: true });
    expect(trainable.untrainable).toBeUndefined();
    const { tokenIds, logprobs, promptIds } = await trainable.generate(ask(), {});
    expect([tokenIds.length, logprobs.length, promptIds.length > 0]).toEqual([2, 2, true]);
    const ollama = await open(await serve({ kind: "ollama" }), { tokens: true, log: lines });
    expect(ollama.untrainable).toBe("Ollama does not tell token ids and log-probabilities");
    expect(lines.lines.map(({ message }) => message).join("\n")).toMatch(
      /Ollama: 4096 positions \(assumed\); .*so it cannot sample for training/,
    );
  });

  test("a hosted model that wants max_completion_tokens gets that", async () => {
    const server = await serve({ kind: "hosted" });
    const engine = await open(server, configured);
    await engine.generate(ask(), {});
    expect(server.asked.at(-1)?.body).toMatchObject({ max_completion_tokens: 16 });
  });

  test("with a tokenizer of its own the engine writes prompts itself and counts them exactly", async () => {
    const tokenizer = createTokenizer(await openTokenizerFiles(packagePath("models", "postcards-grm")));
    const messages = [{ role: "user" as const, content: "query to friend from river be thanks ." }];
    for (const [kind, prompt] of [
      ["vllm", tokenizer.chat(messages)],
      ["ollama", tokenizer.render(messages)],
    ] as const) {
      const server = await serve({ kind });
      const engine = await open(server, { tokenizer });
      await engine.generate(ask({ messages }), {});
      expect(server.asked.at(-1)).toMatchObject({
        path: "/v1/completions",
        body: { prompt, max_tokens: 16 },
      });
      expect(engine.countTokens(messages)).toBe(tokenizer.chat(messages).length);
    }
  });

  test("a prompt near the model's limit is counted by vLLM itself, others are guessed, not too high", async () => {
    const engine = await open(await serve({ kind: "vllm", maxModelLen: 64 }));
    const short = [{ role: "user" as const, content: "a" }];
    expect(engine.countTokens(short)).toBe(1);
    const long = [{ role: "user" as const, content: "some twenty words ".repeat(7) }];
    expect(await engine.countTokens(long)).toBe(21 + 1);
  });
});

describe("what is no answer", () => {
  const expected: Record<Exclude<Fault, "none" | "frozen">, [code: string, text: RegExp]> = {
    "500": ["unavailable", /Internal Server Error \(HTTP 500\)/],
    "429": ["overloaded", /Rate limit/],
    html: ["unavailable", /no JSON \(HTTP 200\): <html>/],
    "error 200": ["unavailable", /CUDA error/],
    "wrong json": ["unavailable", /no completion: its text is none/],
    cut: ["unavailable", /cut in the middle/],
    half: ["unavailable", /no JSON \(HTTP 200\)/],
  };
  test.each(Object.entries(expected))(
    "%s is an error of one line, not a text",
    async (fault, [code, text]) => {
      const server = await serve({ kind: "vllm" });
      const engine = await open(server);
      server.fault = fault as Fault;
      const error = await errorOf(engine.generate(ask({ deadlineAtMs: Date.now() + 20_000 }), {}));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(text);
      expect(error.message).toContain(server.name);
    },
    40_000,
  );

  test("a server that never answers ends with the request's own time", async () => {
    const server = await serve({ kind: "vllm" });
    const engine = await open(server, { requestTimeoutMs: 150 });
    server.fault = "frozen";
    expect(await errorOf(engine.generate(ask(), {}))).toMatchObject({
      code: "deadline_exceeded",
      message: `${server.name}: no answer within 150 ms`,
    });
    await until("it was given up", () => server.running === 0);
  });

  test("a deadline that is nearer counts, and is not the server's fault", async () => {
    const server = await serve({ kind: "vllm" });
    const engine = await open(server);
    server.fault = "frozen";
    const error = await errorOf(engine.generate(ask({ deadlineAtMs: Date.now() + 100 }), {}));
    expect(error.code).toBe("cancelled");
    expect(engine.endpoints()[0]?.state).toBe("healthy");
  });
});

describe("at the start", () => {
  test("a server that nobody started is one line with the address and the setting", async () => {
    const server = await serve({ kind: "vllm" });
    await server.stop();
    const error = await errorOf(engineOn([server], { startTimeoutMs: 200 }));
    expect(error).toMatchObject({ code: "unavailable", field: "grm.engine.endpoints" });
    expect(error.message).toMatch(
      /^grm\.engine\.endpoints: 127\.0\.0\.1:\d+: cannot be reached \(ECONNREFUSED\); start/,
    );
  });

  test("a server that is only just starting is waited for", async () => {
    const server = await serve({ kind: "vllm" });
    server.die();
    const engine = engineOn([server], { startTimeoutMs: 20_000 });
    await new Promise((resolve) => setImmediate(resolve));
    await server.revive();
    stops.push((await engine).close);
    expect((await (await engine).generate(ask(), {})).text).toBe("yes");
  });

  test("a model that the server does not have is refused at once, with those that it has", async () => {
    const server = await serve({ kind: "vllm" });
    const error = await errorOf(engineOn([server], { model: "Qwen/Qwen3-8B", startTimeoutMs: 60_000 }));
    expect(error).toMatchObject({ code: "failed_precondition", field: "grm.engine.model" });
    expect(error.message).toMatch(/does not serve "Qwen\/Qwen3-8B"; it serves judge$/);
  });

  test("several models and no name is a question back", async () => {
    const server = await serve({ kind: "hosted" });
    expect((await errorOf(engineOn([server]))).message).toMatch(
      /serves several models \(judge, other\); name one$/,
    );
  });

  test("a key that is refused is told at once, and neither it nor any key is ever shown", async () => {
    const server = await serve({ kind: "hosted", apiKey: "sk-right" });
    const lines = recordingLogger();
    const error = await errorOf(engineOn([server], { ...configured, log: lines, startTimeoutMs: 60_000 }));
    expect(error).toMatchObject({ code: "failed_precondition" });
    expect(error.message).toMatch(/Incorrect API key provided\.; give the key as/);
    expect(error.message + JSON.stringify(lines.lines)).not.toContain(configured.apiKey);
  });
});

describe.skipIf(noOpenssl !== undefined)(`TLS${noOpenssl === undefined ? "" : ` (${noOpenssl})`}`, () => {
  test("is checked: a server of a known authority serves, any other is one line that names the setting", async () => {
    const folder = mkdtempSync(join(tmpdir(), "covote-engine-tls-"));
    try {
      const { cert, key } = selfSigned(folder, "server");
      const tls = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
      const server = await serve({ kind: "vllm", tls });
      const engine = await open(server, { ca: tls.cert });
      expect((await engine.generate(ask(), {})).text).toBe("yes");
      const error = await errorOf(engineOn([server], { startTimeoutMs: 100 }));
      expect(error.message).toMatch(
        /cannot be reached \(DEPTH_ZERO_SELF_SIGNED_CERT\); its certificate is not trusted/,
      );
      expect(error.message).toMatch(/name its authority as engine\.caFile/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("several servers", () => {
  test("one that dies with requests in hand costs none of them", async () => {
    const servers = [await serve({ kind: "vllm" }), await serve({ kind: "vllm" })] as const;
    const lines = recordingLogger();
    const engine = await engineOn(servers, { log: lines });
    stops.push(engine.close);
    servers[0].delayMs = 60_000;
    const answers = Array.from({ length: 8 }, () => engine.generate(ask(), {}));
    await until("it has some", () => servers[0].running === 4);
    servers[0].die();
    expect((await Promise.all(answers)).map(({ text }) => text)).toEqual(Array(8).fill("yes"));
    await until("it is out", () => engine.endpoints()[0]?.state === "out");
    expect(lines.lines.some(({ message }) => /^endpoint .* is out: /.test(message))).toBe(true);
  });

  test("one that is not there at the start joins when it comes", async () => {
    const servers = [await serve({ kind: "vllm" }), await serve({ kind: "vllm" })] as const;
    servers[1].die();
    const engine = await engineOn(servers);
    stops.push(engine.close);
    expect(engine.endpoints().map(({ state }) => state)).toEqual(["healthy", "out"]);
    await servers[1].revive();
    await until("it joined", () => engine.endpoints()[1]?.state === "healthy");
  });

  test("one that comes back with other weights is left out, with the reason, until it serves the same", async () => {
    const servers = [await serve({ kind: "vllm" }), await serve({ kind: "vllm" })] as const;
    const lines = recordingLogger();
    servers[1].weights = "weights-2";
    const engine = await engineOn(servers, { log: lines });
    stops.push(engine.close);
    const generations = await Promise.all(Array.from({ length: 12 }, () => engine.generate(ask(), {})));
    expect(new Set(generations.map(({ version }) => version))).toEqual(new Set([engine.version().version]));
    expect(servers[1].asked.filter(({ body }) => body.max_tokens !== 1)).toEqual([]);
    expect(lines.lines.find(({ level }) => level === "warn")?.message).toMatch(
      /serves judge@[0-9a-f]{8}, the others serve judge@[0-9a-f]{8}; one engine has one set of weights$/,
    );
    servers[1].weights = "weights-1";
    await until("it joined", () => engine.endpoints()[1]?.state === "healthy");
  });

  test("when all of them have gone over to other weights, the engine's version is theirs", async () => {
    const servers = [await serve({ kind: "vllm" }), await serve({ kind: "vllm" })] as const;
    const engine = await engineOn(servers);
    stops.push(engine.close);
    const { version } = engine.version();
    /** Restarted with other weights; noticed by the request that fails. */
    const goOver = async (server: EngineServer): Promise<void> => {
      server.weights = "weights-2";
      server.fault = "500";
      await until("it was noticed", () => {
        void engine.generate(ask(), {}).catch(() => undefined);
        return engine.endpoints()[servers.indexOf(server)]?.state !== "healthy";
      });
      server.fault = "none";
    };
    await goOver(servers[0]);
    expect((await engine.generate(ask(), {})).version).toBe(version);
    await goOver(servers[1]);
    await until("both serve", () => engine.endpoints().every(({ state }) => state === "healthy"));
    const generation = await engine.generate(ask(), {});
    expect(generation.version).toMatch(/^judge@/);
    expect(generation.version).not.toBe(version);
    expect(engine.version().version).toBe(generation.version);
  });

  test("the servers' own queue and cache bring down how much they get", async () => {
    const server = await serve({ kind: "vllm" });
    server.metrics = 'vllm:num_requests_running{engine="0"} 8\nvllm:kv_cache_usage_perc{engine="0"} 0.99\n';
    const engine = await open(server);
    server.delayMs = 60_000;
    const gone = new AbortController();
    const answers = Array.from({ length: 8 }, () => engine.generate(ask(), { signal: gone.signal }));
    await until("the load was seen", () => (engine.endpoints()[0]?.limit ?? 8) < 8);
    expect(engine.slots).toBe(Math.floor((8 * 0.7) / 0.99));
    gone.abort();
    await Promise.allSettled(answers);
  });
});
