/**
 * Inference servers as a client sees them, over real HTTP: routes, answers and refusals of vLLM, SGLang, llama.cpp,
 * Ollama and a hosted API as these document them, and the faults that real ones have. Tokens are words.
 *
 * A server answers when its `delayMs` is over; aborting and closing connections is noticed and counted.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { countWords, wordIds } from "../../lib/engine/simulated-words.js";
import type { ChatMessage } from "../../lib/grm/chat.js";

export type EngineServerKind = "vllm" | "sglang" | "llama.cpp" | "ollama" | "hosted";

/** What is wrong with a server; each concerns requests that come after it was set. */
export type Fault =
  | "none"
  /** Accepts and never answers. */
  | "frozen"
  | "500"
  | "429"
  /** A gateway's page with a good status. */
  | "html"
  /** An error object with a good status. */
  | "error 200"
  /** JSON that is no completion. */
  | "wrong json"
  /** Half of the body, then the connection is closed. */
  | "cut"
  /** Half of the body as if it were whole. */
  | "half";

export interface Asked {
  path: string;
  body: Record<string, unknown>;
  headers: IncomingMessage["headers"];
}

export interface EngineServer {
  readonly url: string;
  /** `host:port` */
  readonly name: string;
  fault: Fault;
  /** Of generations. */
  delayMs: number;
  /** Weights that it says it serves. */
  weights: string;
  /** Text of `/metrics`; empty: the route is missing. */
  metrics: string;
  /** Every generation that was asked for, probes included. */
  readonly asked: Asked[];
  /** Requests other than generations, by path. */
  readonly questions: Asked[];
  /** Generations in the server now, and the most that there were at once. */
  readonly running: number;
  readonly mostRunning: number;
  /** Generations whose client went away before the answer. */
  readonly abandoned: number;
  /** Closes every connection and refuses new ones until `revive`. */
  die(): void;
  revive(): Promise<void>;
  stop(): Promise<void>;
}

export interface EngineServerOptions {
  kind: EngineServerKind;
  model?: string;
  /** The raw score of a conversation, for servers of reward models. Default 0.5. */
  logit?: (text: string) => number;
  /** Ignores what it is asked for and gives the probability: vLLM before `use_activation`. */
  alwaysActivates?: boolean;
  /** Default: says `yes`. */
  respond?: (request: { messages: readonly ChatMessage[]; seed: number; opening: string }) => string;
  maxModelLen?: number;
  apiKey?: string;
  delayMs?: number;
  /** PEM texts: the server speaks TLS. */
  tls?: { cert: string; key: string };
}

type Answer = { status: number; body: unknown; headers?: Record<string, string> };

export async function startEngineServer(options: EngineServerOptions): Promise<EngineServer> {
  const { kind, model = "judge", maxModelLen = 4096, apiKey } = options;
  const respond = options.respond ?? (() => "yes");
  const sockets = new Set<Socket>();
  const asked: Asked[] = [];
  const questions: Asked[] = [];
  const state = {
    fault: "none" as Fault,
    delayMs: options.delayMs ?? 0,
    weights: "weights-1",
    metrics: "",
    ...{ running: 0, mostRunning: 0, abandoned: 0 },
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
    const generation = path === "/v1/chat/completions" || path === "/v1/completions";
    (generation ? asked : questions).push({ path, body, headers: request.headers });
    if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`) {
      send(response, openAiError(401, "Incorrect API key provided.", "invalid_api_key"));
      return;
    }
    if (!generation) {
      send(response, question(path, body));
      return;
    }
    await generate(path, body, response);
  };

  const generate = async (
    path: string,
    body: Record<string, unknown>,
    response: ServerResponse,
  ): Promise<void> => {
    const { fault } = state;
    let gone = false;
    state.running++;
    state.mostRunning = Math.max(state.mostRunning, state.running);
    let leave = (): void => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    response.once("close", () => {
      if (!response.writableFinished) {
        gone = true;
        state.abandoned++;
      }
      leave();
    });
    try {
      if (fault === "frozen") {
        await left;
        return;
      }
      if (state.delayMs > 0) {
        await Promise.race([left, new Promise((resolve) => setTimeout(resolve, state.delayMs))]);
      }
      if (!gone) faulty(fault, response, () => completion(path, body));
    } finally {
      state.running--;
    }
  };

  const faulty = (fault: Fault, response: ServerResponse, answer: () => Answer): void => {
    switch (fault) {
      case "500":
        send(response, openAiError(500, "Internal Server Error", "internal_error"));
        return;
      case "429": {
        const refusal = openAiError(429, "Rate limit reached for requests", "rate_limit_exceeded");
        send(response, { ...refusal, headers: { "retry-after": "1", "retry-after-ms": "20" } });
        return;
      }
      case "html":
        response
          .writeHead(200, { "content-type": "text/html" })
          .end("<html><body>Welcome to nginx!</body></html>");
        return;
      case "error 200":
        send(response, {
          ...openAiError(500, "CUDA error: device-side assert", "server_error"),
          status: 200,
        });
        return;
      case "wrong json":
        send(response, { status: 200, body: { choices: [{ message: { content: 7 } }] } });
        return;
      case "cut":
      case "half": {
        const text = JSON.stringify(answer().body);
        const half = text.slice(0, text.length / 2);
        const length = fault === "cut" ? text.length : half.length;
        response.writeHead(200, { "content-type": "application/json", "content-length": length });
        response.write(half, () => (fault === "cut" ? response.socket?.destroy() : response.end()));
        return;
      }
      default:
        send(response, answer());
    }
  };

  const completion = (path: string, body: Record<string, unknown>): Answer => {
    const chat = path === "/v1/chat/completions";
    if (body.model !== model) return noSuchModel(kind, String(body.model));
    if (kind === "hosted" && body.max_tokens !== undefined) {
      const text =
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
      return openAiError(400, text, "unsupported_parameter");
    }
    if (kind === "vllm" && body.continue_final_message === true && body.add_generation_prompt !== false) {
      return openAiError(
        400,
        "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
        400,
      );
    }
    const maxTokens = Number(body.max_tokens ?? body.max_completion_tokens ?? 16);
    const messages = chat
      ? (body.messages as ChatMessage[])
      : [{ role: "user" as const, content: Array.isArray(body.prompt) ? "ids" : String(body.prompt) }];
    const promptTokens = Array.isArray(body.prompt) ? body.prompt.length : countWords(messages);
    if (promptTokens + maxTokens > maxModelLen) return tooLong(kind, promptTokens, maxTokens, maxModelLen);
    const opened = body.continue_final_message === true;
    const opening = opened ? (messages.at(-1)?.content ?? "") : "";
    const whole = respond({
      messages: opened ? messages.slice(0, -1) : messages,
      seed: Number(body.seed ?? 0),
      opening,
    });
    const { text, finish } = cut(stopped(whole, body), maxTokens);
    const ids = [...wordIds([text])].slice(0, maxTokens);
    const entries = ids.map((id) => ({ token: `t${id}`, logprob: -0.5, bytes: [], top_logprobs: [] }));
    const choice: Record<string, unknown> = { index: 0, finish_reason: finish };
    if (chat) choice.message = { role: "assistant", content: text };
    else choice.text = text;
    if (body.logprobs !== undefined && body.logprobs !== false && kind !== "ollama") {
      const content = kind === "llama.cpp" ? entries.map((entry, i) => ({ ...entry, id: ids[i] })) : entries;
      const lists = {
        tokens: entries.map(({ token }) => token),
        token_logprobs: entries.map(({ logprob }) => logprob),
      };
      choice.logprobs = chat ? { content } : lists;
    }
    const result: Record<string, unknown> = { id: "x", object: "chat.completion", created: 1, model };
    const promptIds = Array.from({ length: promptTokens }, (_, i) => i + 1);
    if (body.return_token_ids === true && kind === "vllm") {
      Object.assign(choice, { token_ids: ids, stop_reason: null });
      result.prompt_token_ids = promptIds;
    }
    if (body.return_token_ids === true && kind === "sglang") {
      Object.assign(choice, { token_ids: ids, prompt_token_ids: promptIds });
    }
    if (kind === "ollama") result.system_fingerprint = "fp_ollama";
    if (kind === "hosted") result.system_fingerprint = "fp_44709d6fcb";
    const usage = {
      prompt_tokens: promptTokens,
      completion_tokens: ids.length,
      total_tokens: promptTokens + ids.length,
    };
    return { status: 200, body: { ...result, choices: [choice], usage } };
  };

  const stopped = (text: string, body: Record<string, unknown>): string => {
    const stops = Array.isArray(body.stop) ? (body.stop as string[]) : [];
    const words = text.split(" ");
    const at = words.findIndex((word) => stops.includes(word));
    if (at < 0) return text;
    const kept = body.include_stop_str_in_output === true || body.no_stop_trim === true;
    return words.slice(0, kept ? at + 1 : at).join(" ");
  };

  const { logit = () => 0.5, alwaysActivates = false } = options;
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  /** JSON has no NaN; Python's servers write one all the same. */
  const numberText = (x: number): unknown => (Number.isNaN(x) ? null : x);

  const scored = (path: string, body: Record<string, unknown>): Answer | null => {
    const turns = body.messages as ChatMessage[] | undefined;
    const ids = (body.input ?? body.input_ids) as number[] | undefined;
    const text =
      turns?.map(({ content }) => content).join("|") ?? ids?.join(" ") ?? `${body.text_1}|${body.text_2}`;
    if (kind === "vllm" && ["/classify", "/pooling", "/score"].includes(path)) {
      if (text.length > maxModelLen) return tooLong(kind, text.length, 0, maxModelLen);
      const raw = logit(text);
      const value = numberText(body.use_activation === true || alwaysActivates ? sigmoid(raw) : raw);
      const item =
        path === "/classify"
          ? { index: 0, label: "LABEL_0", probs: [value], num_classes: 1 }
          : path === "/pooling"
            ? { index: 0, object: "pooling", data: [value] }
            : { index: 0, object: "score", score: value };
      return { status: 200, body: { id: "x", object: "list", created: 1, model, data: [item], usage: {} } };
    }
    if (kind !== "sglang") return null;
    if (path === "/classify") {
      return {
        status: 200,
        body: { embedding: [logit(text)], meta_info: { id: body.rid, prompt_tokens: 3 } },
      };
    }
    const data = [{ object: "embedding", index: 0, embedding: [logit(text)] }];
    return path === "/v1/embeddings"
      ? { status: 200, body: { object: "list", model, data, usage: {} } }
      : null;
  };

  const question = (path: string, body: Record<string, unknown>): Answer => {
    const score = scored(path, body);
    if (score !== null) return score;
    const found = questionsOf(kind, { model, maxModelLen, weights: state.weights })[path];
    if (path === "/metrics") {
      return state.metrics === "" ? notFound : { status: 200, body: state.metrics };
    }
    if (path === "/tokenize" && kind === "vllm") {
      const tokens = [...wordIds((body.messages as ChatMessage[]).map(({ content }) => content))];
      return {
        status: 200,
        body: { count: tokens.length, max_model_len: maxModelLen, tokens, token_strs: null },
      };
    }
    return found === undefined ? notFound : { status: 200, body: found };
  };

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    response.on("error", () => undefined);
    void handle(request, response).catch(() => response.destroy());
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve()));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return Object.assign(state, {
    ...{
      url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
      name: `127.0.0.1:${port}`,
      asked,
      questions,
    },
    die: close,
    revive: () => listen(port),
    stop: () => {
      close();
      return Promise.resolve();
    },
  });
}

const notFound: Answer = { status: 404, body: { detail: "Not Found" } };

function questionsOf(
  kind: EngineServerKind,
  { model, maxModelLen, weights }: { model: string; maxModelLen: number; weights: string },
): Record<string, unknown> {
  const card = { id: model, object: "model", created: 1_760_000_000 };
  const list = (...data: unknown[]) => ({ object: "list", data });
  switch (kind) {
    case "vllm":
      return {
        "/v1/models": list({
          ...card,
          ...{ owned_by: "vllm", root: `/models/${weights}`, parent: null, max_model_len: maxModelLen },
        }),
        "/version": { version: "0.22.1" },
        "/openapi.json": {
          openapi: "3.1.0",
          paths: Object.fromEntries(
            ["/v1/chat/completions", "/tokenize", "/abort_requests", "/classify", "/pooling", "/score"].map(
              (path) => [path, {}],
            ),
          ),
        },
        "/abort_requests": { status: "aborted", aborted: 1 },
      };
    case "sglang":
      return {
        "/v1/models": list({
          ...card,
          owned_by: "sglang",
          root: model,
          parent: null,
          max_model_len: maxModelLen,
        }),
        "/get_model_info": { model_path: model, weight_version: weights, is_generation: true },
        "/openapi.json": {
          openapi: "3.1.0",
          paths: { "/v1/chat/completions": {}, "/abort_request": {}, "/classify": {}, "/v1/embeddings": {} },
        },
        "/abort_request": null,
      };
    case "llama.cpp":
      return {
        "/v1/models": list({
          ...card,
          owned_by: "llamacpp",
          meta: { n_vocab: 97, n_ctx_train: 8192, n_params: 302_000, size: weights.length },
        }),
        "/props": {
          default_generation_settings: { n_ctx: maxModelLen },
          total_slots: 4,
          model_path: weights,
        },
      };
    case "ollama":
      return {
        "/v1/models": list({ ...card, owned_by: "library" }),
        "/api/version": { version: "0.12.6" },
        "/api/tags": { models: [{ name: model, model, digest: weights }] },
      };
    case "hosted":
      return {
        "/v1/models": list({ ...card, owned_by: "system" }, { ...card, id: "other", owned_by: "system" }),
      };
  }
}

function openAiError(status: number, message: string, code: string | number): Answer {
  return { status, body: { error: { message, type: "invalid_request_error", param: null, code } } };
}

function noSuchModel(kind: EngineServerKind, model: string): Answer {
  if (kind === "ollama") return { status: 404, body: { error: { message: `model '${model}' not found` } } };
  return openAiError(404, `The model \`${model}\` does not exist.`, "model_not_found");
}

/** In each server's own words. */
function tooLong(kind: EngineServerKind, prompt: number, completion: number, most: number): Answer {
  switch (kind) {
    case "sglang": {
      const message = `The input (${prompt} tokens) is longer than the model's context length (${most} tokens).`;
      return {
        status: 400,
        body: { object: "error", message, type: "BadRequestError", param: null, code: 400 },
      };
    }
    case "llama.cpp": {
      const message = `the request exceeds the available context size (${most} tokens), try increasing it`;
      const error = {
        code: 400,
        message,
        type: "exceed_context_size_error",
        n_prompt_tokens: prompt,
        n_ctx: most,
      };
      return { status: 400, body: { error } };
    }
    default: {
      const message =
        `This model's maximum context length is ${most} tokens. However, you requested ${prompt + completion} tokens ` +
        `(${prompt} in the messages, ${completion} in the completion). Please reduce the length of the messages or completion.`;
      return openAiError(400, message, kind === "hosted" ? "context_length_exceeded" : 400);
    }
  }
}

function cut(text: string, maxTokens: number): { text: string; finish: "stop" | "length" } {
  const words = text.split(" ");
  if (words.length < maxTokens) return { text, finish: "stop" };
  return { text: words.slice(0, maxTokens).join(" "), finish: "length" };
}

function send(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const type = typeof body === "string" ? "text/plain" : "application/json";
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text), ...headers });
  response.end(text);
}
