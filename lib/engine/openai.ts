/**
 * The engine of servers that speak the OpenAI protocol: vLLM, SGLang, llama.cpp, Ollama, hosted ones.
 *
 * - Every request is one sample, at one endpoint of a pool; see pool.ts for what happens when that fails.
 * - Cancelling frees the server: the connection is closed, and where the server has a route to abort a request by its
 *   id, that is used as well.
 * - What a server lacks is found out at the start and said in one line. What it cannot do is refused by name, not left
 *   out: an answer never silently lacks what it was asked for.
 * - The version is the server's model with a fingerprint; `load` is absent, since the server decides what it serves.
 */
import { createHash } from "node:crypto";
import { CovoteError, invalid } from "../core/errors.js";
import type { ChatMessage } from "../grm/chat.js";
import type { LlamaTokenizer } from "../llama/tokenizer.js";
import type { GenerateRequest, GenerativeEngine } from "./engine.js";
import { type EndpointsOptions, openEndpoints } from "./openai-endpoint.js";
import {
  generateBody,
  readGeneration,
  type WireContext,
  type WireGeneration,
  type WirePrompt,
} from "./openai-wire.js";
import { openPool, type PoolMeter } from "./pool.js";
import { readAnswer } from "./server-errors.js";
import type { ServerHttp } from "./server-http.js";
import { serverNames, serverTraits } from "./server-kinds.js";
import type { ServerIdentity } from "./server-probe.js";

export interface OpenAiEngineOptions extends EndpointsOptions {
  /** The model's own, to write prompts and to count tokens here; null leaves both to the server. */
  tokenizer: LlamaTokenizer | null;
  concurrency: number;
  retryShare: number;
  hedgeShare: number;
  /** Configured; null: what the server says. */
  maxPositions: number | null;
  /** Ask for token ids and log-probabilities: the answers are to be trained on. */
  tokens: boolean;
  meter: PoolMeter;
}

export interface OpenAiEngine extends GenerativeEngine {
  endpoints: ReturnType<typeof openPool>["endpoints"];
}

/** Where neither server nor configuration says. */
const assumedPositions = { ollama: 4096, others: 32_768 };
/** Bytes of text for which a tokenizer needs at least a token, roughly: so that a guess is not too high. */
const bytesPerToken = 8;
/** Ollama cuts what is too long without a word, so there the guess must not be too low. */
const cautiousBytesPerToken = 3;
/** Tokens around a turn. */
const turnTokens = 8;
const abortMs = 2000;

export async function openOpenAiEngine(options: OpenAiEngineOptions): Promise<OpenAiEngine> {
  const { field, clock, log, tokenizer, requestTimeoutMs, tokens } = options;
  const quirks: Pick<WireContext, "maxTokensField"> = { maxTokensField: "max_tokens" };
  let sample: WireGeneration | null = null;

  const send = async (
    http: ServerHttp,
    { kind, model, routes }: ServerIdentity,
    request: GenerateRequest,
    signal: AbortSignal | undefined,
  ): Promise<WireGeneration> => {
    const traits = serverTraits[kind];
    const context: WireContext = { server: kind, traits, model, tokens, ...quirks };
    const { path, body } = generateBody(request, promptOf(request, tokenizer), context);
    const leftMs = (request.deadlineAtMs ?? Number.POSITIVE_INFINITY) - clock.now();
    if (leftMs <= 0) throw new CovoteError("cancelled", `the deadline of request ${request.id} has passed`);
    const { abort } = traits;
    // Routes that cannot be listed are not tried: an abort to a server that has none is noise in its log.
    const free = abort !== null && routes?.has(abort.path) ? abort : null;
    const onAbort = (): void => {
      if (free === null || request.id === "") return;
      const ending = http.send({
        method: "POST",
        ...{ path: free.path, body: free.body(request.id) },
        timeoutMs: abortMs,
      });
      // The closed connection says the same.
      ending.catch((error: unknown) => log.debug({ error }, "the request could not be aborted by its id"));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const timeoutMs = Math.min(requestTimeoutMs, leftMs);
      const { traceparent } = request;
      const answer = await http.send({ method: "POST", path, body, timeoutMs, signal, traceparent });
      return readGeneration(http.name, readAnswer(http.name, answer));
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      // The caller's own deadline is not the endpoint's fault.
      if (error.code === "deadline_exceeded" && leftMs < requestTimeoutMs) {
        throw new CovoteError("cancelled", `the deadline of request ${request.id} has passed`, {
          cause: error,
        });
      }
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  };

  const probeRequest = (http: ServerHttp): GenerateRequest => ({
    id: `probe-${createHash("sha256").update(http.name).digest("hex").slice(0, 8)}-${Math.round(clock.monotonic())}`,
    messages: [{ role: "user", content: "." }],
    ...{ maxTokens: 1, temperature: 1, seed: 1 },
  });
  const opened = await openEndpoints(options, async (http, identity, signal) => {
    const ask = (): Promise<WireGeneration> => send(http, identity, probeRequest(http), signal);
    sample = await ask().catch((thrown: unknown) => {
      const renamed = /max_completion_tokens/.test(CovoteError.from(thrown).message);
      if (!renamed || quirks.maxTokensField !== "max_tokens") throw thrown;
      quirks.maxTokensField = "max_completion_tokens";
      return ask();
    });
  });
  const { members, serving } = opened;
  const identity = serving();
  const told = sample as WireGeneration | null;
  const server = serverNames[identity.kind];
  const maxPositions = options.maxPositions ?? identity.maxPositions ?? assumed(identity);
  const untrainable =
    tokens && told !== null ? lackOf(told, server) : "token ids and log-probabilities are not asked for";
  log.info(
    { engine: identity.version },
    `${field}: ${capabilities(options, identity, maxPositions, untrainable)}`,
  );

  const pool = openPool({ ...options, members });
  let generatedTokens = 0;
  let promptTokens = 0;
  let busyMs = 0;
  let busySinceMs = clock.monotonic();
  /** Brings the time up to now; called before the number of running requests changes. */
  const account = (): void => {
    const nowMs = clock.monotonic();
    if (pool.stats().running > 0) busyMs += nowMs - busySinceMs;
    busySinceMs = nowMs;
  };

  const guess = (messages: readonly ChatMessage[]): number => {
    const bytes = messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
    return Math.ceil(bytes / (identity.kind === "ollama" ? cautiousBytesPerToken : bytesPerToken));
  };
  const countTokens = (messages: readonly ChatMessage[]): number | Promise<number> => {
    if (tokenizer !== null) return tokenizer.chat(messages).length;
    const least = guess(messages);
    const atMost = least * bytesPerToken + turnTokens * messages.length;
    const certain = atMost < maxPositions / 2 || least > maxPositions;
    if (certain || identity.kind !== "vllm" || !identity.routes?.has("/tokenize")) return least;
    const { model } = identity;
    const asked = pool.run(async ({ http }, signal) => {
      const body = { model, messages };
      const answer = await http.send({ method: "POST", path: "/tokenize", body, timeoutMs: abortMs, signal });
      const { count } = readAnswer(http.name, answer);
      return { value: typeof count === "number" ? count : least, tokens: null };
    }, {});
    // The server says so itself when the prompt comes.
    return asked.catch(() => least);
  };

  const readable = (generation: WireGeneration, request: GenerateRequest): void => {
    if (generation.promptTokens + request.maxTokens <= maxPositions || identity.kind !== "ollama") return;
    throw invalid(
      "messages",
      `${generation.promptTokens} tokens fill the ${maxPositions} that ${server} takes; it cuts the rest`,
    );
  };

  return {
    generate: async (request, { signal }) => {
      const startedMs = clock.monotonic();
      account();
      const generation = await pool
        .run(
          async ({ http }, own) => {
            const { version } = serving();
            const value = { ...(await send(http, identity, request, own)), version };
            return { value, tokens: value.completionTokens };
          },
          { signal },
        )
        .finally(account);
      readable(generation, request);
      generatedTokens += generation.completionTokens;
      promptTokens += generation.promptTokens;
      const { fingerprint: _, ...told } = generation;
      return { ...told, engineMs: clock.monotonic() - startedMs };
    },
    version: () => ({ number: 0, version: serving().version }),
    stats: () => {
      account();
      return { ...pool.stats(), slots: pool.slots(), generatedTokens, promptTokens, busyMs };
    },
    get slots() {
      return pool.slots();
    },
    maxPositions,
    ...(untrainable === null ? {} : { untrainable }),
    ...(tokenizer === null ? { guesses: true } : {}),
    countTokens,
    endpoints: pool.endpoints,
    close: () => {
      pool.close();
      opened.close();
      return Promise.resolve();
    },
  };
}

function promptOf({ messages, opening = "" }: GenerateRequest, tokenizer: LlamaTokenizer | null): WirePrompt {
  if (tokenizer === null) return { t: "turns", messages };
  const ids = tokenizer.chat(messages);
  const text = tokenizer.render(messages);
  if (opening === "") return { t: "written", text, ids };
  return { t: "written", text: `${text}${opening}`, ids: [...ids, ...tokenizer.encode(opening)] };
}

function lackOf({ tokenIds, promptIds, logprobs }: WireGeneration, server: string): string | null {
  const lacks = [
    ...(tokenIds.length === 0 || promptIds.length === 0 ? ["token ids"] : []),
    ...(logprobs.length === 0 ? ["log-probabilities"] : []),
  ];
  return lacks.length === 0 ? null : `${server} does not tell ${lacks.join(" and ")}`;
}

function assumed({ kind }: ServerIdentity): number {
  return kind === "ollama" ? assumedPositions.ollama : assumedPositions.others;
}

/** What this engine can do and what follows from what it cannot, in one line. */
function capabilities(
  { tokens, tokenizer, maxPositions }: OpenAiEngineOptions,
  identity: ServerIdentity,
  positions: number,
  untrainable: string | null,
): string {
  const { kind, routes } = identity;
  const { abort, openTurn, keepStop } = serverTraits[kind];
  const from =
    maxPositions !== null ? "configured" : identity.maxPositions === null ? "assumed" : "by the server";
  const byId = abort !== null && routes?.has(abort.path) === true;
  const parts = [
    `${positions} positions (${from})`,
    byId ? `cancels by ${abort.path}` : "cancels by closing the connection",
  ];
  if (tokens && untrainable !== null) parts.push(`${untrainable}, so it cannot sample for training`);
  if ((openTurn === null && tokenizer === null) || keepStop === null) {
    parts.push("principles cannot be drawn apart (judging.split), so votes write their own");
  }
  return `${serverNames[kind]}: ${parts.join("; ")}`;
}
