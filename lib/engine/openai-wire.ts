/**
 * Requests and answers of `/v1/chat/completions` and `/v1/completions`, with what the servers add to them. Pure.
 *
 * - One sample per request (`n` = 1) with its own seed and, where the server takes one, its own id.
 * - An answer says how its text ended, or it is no answer: a server that stopped for another reason is an error.
 * - Token ids and log-probabilities are taken only whole: as many as the completion has tokens, or none.
 */
import { CovoteError, invalid } from "../core/errors.js";
import type { ChatMessage } from "../grm/chat.js";
import type { GenerateRequest } from "./engine.js";
import { isObject } from "./server-errors.js";
import { type ServerKind, type ServerTraits, serverNames } from "./server-kinds.js";

/** The prompt as the server gets it: turns for its own chat template, or written out here. */
export type WirePrompt =
  | { t: "turns"; messages: readonly ChatMessage[] }
  | { t: "written"; text: string; ids: readonly number[] };

export interface WireRequest {
  path: string;
  body: Record<string, unknown>;
}

export interface WireContext {
  server: ServerKind;
  traits: ServerTraits;
  model: string;
  /** Ask for token ids and log-probabilities, which costs the server some time. */
  tokens: boolean;
  /** Hosted models that refuse `max_tokens` take this. */
  maxTokensField: "max_tokens" | "max_completion_tokens";
}

/** Throws `invalid_argument` for what this server cannot do. */
export function generateBody(
  request: GenerateRequest,
  prompt: WirePrompt,
  { server, traits, model, tokens, maxTokensField }: WireContext,
): WireRequest {
  const { maxTokens, temperature, seed, stop = [] } = request;
  const common: Record<string, unknown> = {
    ...{ model, temperature, seed, n: 1, stream: false },
    ...traits.sampling,
    [prompt.t === "turns" ? maxTokensField : "max_tokens"]: maxTokens,
  };
  if (traits.requestId !== null) common[traits.requestId] = request.id;
  if (stop.length > 0) {
    if (traits.keepStop === null) {
      throw invalid(
        "stop",
        `${serverNames[server]} takes the stop word out of the text, so it cannot be told whether it came`,
      );
    }
    Object.assign(common, traits.keepStop, { stop });
  }
  if (tokens && traits.tokenIds !== null) Object.assign(common, traits.tokenIds);
  if (prompt.t === "written") {
    const body = { ...common, prompt: traits.takesIds ? prompt.ids : prompt.text };
    return { path: "/v1/completions", body: tokens ? { ...body, logprobs: 1 } : body };
  }
  const turns = prompt.messages.map(({ role, content }) => ({ role, content }));
  const body: Record<string, unknown> = { ...common, messages: turns };
  if (tokens && traits.logprobs) body.logprobs = true;
  const { opening } = request;
  if (opening !== undefined && opening !== "") {
    if (traits.openTurn === null) {
      throw invalid(
        "opening",
        `${serverNames[server]} cannot be made to begin an answer with given words; name the model's tokenizer as engine.tokenizer`,
      );
    }
    turns.push({ role: "assistant", content: opening });
    Object.assign(body, traits.openTurn);
  }
  return { path: "/v1/chat/completions", body };
}

export interface WireGeneration {
  text: string;
  finish: "stop" | "length";
  promptIds: Uint32Array;
  tokenIds: Uint32Array;
  logprobs: Float32Array;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  /** What the server calls the build or the weights that answered; empty when it does not. */
  fingerprint: string;
}

/** Throws `unavailable` for what is no completion, and `invalid_argument` when the server's filter refused. */
export function readGeneration(name: string, body: Record<string, unknown>): WireGeneration {
  const choice = Array.isArray(body.choices) ? body.choices[0] : undefined;
  if (!isObject(choice)) throw bad(name, "it has no choices");
  const message = isObject(choice.message) ? choice.message : undefined;
  const content = message === undefined ? choice.text : message.content;
  if (typeof content !== "string" && content !== null && content !== undefined)
    throw bad(name, "its text is none");
  if (message === undefined && typeof content !== "string") throw bad(name, "it has no text");
  const finish = finishOf(name, choice.finish_reason);
  const usage = isObject(body.usage) ? body.usage : {};
  const details = isObject(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const { ids, logprobs } = tokensOf(choice);
  const promptIds = idList(body.prompt_token_ids) ?? idList(choice.prompt_token_ids) ?? [];
  const completionTokens = count(usage.completion_tokens) ?? ids.length;
  return {
    text: content ?? "",
    finish,
    promptIds: Uint32Array.from(promptIds),
    tokenIds: Uint32Array.from(ids),
    logprobs: Float32Array.from(logprobs),
    promptTokens: count(usage.prompt_tokens) ?? promptIds.length,
    completionTokens,
    cachedTokens: count(details.cached_tokens) ?? 0,
    fingerprint: typeof body.system_fingerprint === "string" ? body.system_fingerprint : "",
  };
}

function finishOf(name: string, reason: unknown): "stop" | "length" {
  switch (reason) {
    case "stop":
    case "eos_token":
    case "tool_calls":
    case "function_call":
      return "stop";
    case "length":
      return "length";
    case "content_filter":
      throw new CovoteError("invalid_argument", `${name}: the server's content filter refused the answer`);
    case "abort":
      throw new CovoteError("unavailable", `${name}: the server aborted the request`);
    default:
      throw bad(name, `it does not say how it ended (finish_reason ${JSON.stringify(reason) ?? "missing"})`);
  }
}

/** The sampled tokens with their log-probabilities, from whichever of the servers' ways this is. */
function tokensOf(choice: Record<string, unknown>): { ids: readonly number[]; logprobs: readonly number[] } {
  const told = isObject(choice.logprobs) ? choice.logprobs : {};
  // Chat: one entry per token. Completions: parallel lists.
  const entries = Array.isArray(told.content) ? told.content.filter(isObject) : null;
  const logprobs =
    entries === null ? numberList(told.token_logprobs) : numberList(entries.map(({ logprob }) => logprob));
  const names = entries === null ? told.tokens : entries.map(({ token }) => token);
  const ids =
    idList(choice.token_ids) ??
    (entries === null ? null : idList(entries.map(({ id }) => id))) ??
    (Array.isArray(names) ? idList(names.map(idInName)) : null) ??
    [];
  return { ids, logprobs: logprobs !== null && logprobs.length === ids.length ? logprobs : [] };
}

/** vLLM's `token_id:123`. */
function idInName(name: unknown): number | undefined {
  const digits = typeof name === "string" ? /^token_id:(\d+)$/.exec(name)?.[1] : undefined;
  return digits === undefined ? undefined : Number(digits);
}

function idList(value: unknown): readonly number[] | null {
  if (!Array.isArray(value)) return null;
  return value.every((id) => Number.isInteger(id) && id >= 0) ? (value as number[]) : null;
}

function numberList(value: unknown): readonly number[] | null {
  if (!Array.isArray(value)) return null;
  return value.every((number) => typeof number === "number" && number <= 0) ? (value as number[]) : null;
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : undefined;
}

function bad(name: string, why: string): CovoteError {
  return new CovoteError("unavailable", `${name}: an answer that is no completion: ${why}`);
}
