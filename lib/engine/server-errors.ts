/**
 * What an inference server's refusal means to the caller: a CovoteError by status, body and headers. Pure.
 *
 * - The prompt does not fit: `invalid_argument` with the field `messages`.
 * - Too much at once (429, 503 with Retry-After): `overloaded`, with the time to come back.
 * - No such model, key refused: `failed_precondition`; another try would end the same.
 * - Anything that is no answer of such a server (HTML, half a JSON, an error in a 200): `unavailable`.
 */
import { CovoteError, type ErrorDetail } from "../core/errors.js";
import type { ServerAnswer } from "./server-http.js";

/** The field of errors about prompts that a model has no room for. */
export const promptField = "messages";

/** The JSON object of a good answer; throws what the answer means otherwise. */
export function readAnswer(name: string, answer: ServerAnswer): Record<string, unknown> {
  const body = parseAnswer(name, answer);
  if (isObject(body)) return body;
  throw new CovoteError("unavailable", `${name}: ${strange(answer)}`);
}

/** The JSON of a good answer, object or list; throws as `readAnswer` does. */
export function parseAnswer(name: string, answer: ServerAnswer): unknown {
  const value = parse(answer.text);
  const body = isObject(value) ? value : null;
  if (answer.status >= 200 && answer.status < 300) {
    if (value === undefined) throw new CovoteError("unavailable", `${name}: ${strange(answer)}`);
    // Gateways and some servers report failures with a good status.
    const error = body === null ? null : errorIn(body);
    if (error === null) return value;
    throw errorOf(name, { ...answer, status: error.code ?? 500 }, error.message, error.type);
  }
  const error = body === null ? null : errorIn(body);
  throw errorOf(name, answer, error?.message ?? strange(answer), error?.type ?? "");
}

function errorOf(name: string, answer: ServerAnswer, message: string, type: string): CovoteError {
  const { status } = answer;
  const said = `${name}: ${oneLine(message)}`;
  const retryAfterMs = retryAfterOf(answer);
  const detail: ErrorDetail = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (status === 429 || (status === 503 && retryAfterMs !== undefined)) {
    return new CovoteError("overloaded", said, detail);
  }
  if (status === 401 || status === 403) {
    const fix = "give the key as engine.apiKeyEnv or engine.apiKeyFile";
    return new CovoteError("failed_precondition", `${said}; ${fix}`);
  }
  if ((status === 400 || status === 413 || status === 422) && isTooLong(message, type)) {
    return new CovoteError("invalid_argument", said, { field: promptField });
  }
  if (status === 404 && /model/i.test(message)) {
    return new CovoteError("failed_precondition", `${said}; give the name as engine.model`);
  }
  if (status === 404 || status === 405 || status === 501) {
    return new CovoteError("not_found", `${said} (HTTP ${status})`);
  }
  if (status === 408 || status === 504) return new CovoteError("deadline_exceeded", said);
  if (status >= 400 && status < 500) return new CovoteError("invalid_argument", `${said} (HTTP ${status})`);
  return new CovoteError("unavailable", `${said} (HTTP ${status})`, detail);
}

/** The servers' own words for a prompt that is longer than the model's context. */
function isTooLong(message: string, type: string): boolean {
  if (/context_length_exceeded|exceed_context_size|string_above_max_length/.test(type)) return true;
  return /maximum context length|context (size|length|window)|max_model_len|longer than the model|(prompt|input).{0,40}too long|max_total_tokens|max_seq_len/i.test(
    message,
  );
}

interface SaidError {
  message: string;
  type: string;
  code: number | null;
}

/** `{"error": {…}}` (most), `{"error": "…"}`, `{"object": "error", …}` (SGLang), `{"detail": …}` (FastAPI). */
function errorIn(body: Record<string, unknown>): SaidError | null {
  const { error, detail } = body;
  if (isObject(error)) return saidBy(error);
  if (typeof error === "string" && error !== "") return { message: error, type: "", code: null };
  if (body.object === "error") return saidBy(body);
  if (detail !== undefined && body.choices === undefined && body.data === undefined) {
    return { message: typeof detail === "string" ? detail : JSON.stringify(detail), type: "", code: null };
  }
  return null;
}

function saidBy(error: Record<string, unknown>): SaidError {
  const { message, type, code } = error;
  const number = Number(code);
  return {
    message: typeof message === "string" ? message : JSON.stringify(error),
    type: [type, code].filter((part) => typeof part === "string").join(" "),
    code: number >= 400 && number < 600 ? number : null,
  };
}

/** Seconds or an HTTP date; some servers give milliseconds in a header of their own. */
export function retryAfterOf({ headers }: Pick<ServerAnswer, "headers">): number | undefined {
  const ms = Number(headers["retry-after-ms"]);
  if (headers["retry-after-ms"] !== undefined && ms >= 0) return ms;
  const text = headers["retry-after"];
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (seconds >= 0) return seconds * 1000;
  const at = Date.parse(text);
  const sent = Date.parse(headers.date ?? "");
  return Number.isNaN(at) || Number.isNaN(sent) ? undefined : Math.max(0, at - sent);
}

export function parseObject(text: string): Record<string, unknown> | null {
  const value = parse(text);
  return isObject(value) ? value : null;
}

/** Undefined for what is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function strange({ status, text }: ServerAnswer): string {
  const shown = oneLine(text);
  return shown === ""
    ? `an empty answer (HTTP ${status})`
    : `no JSON (HTTP ${status}): ${shown.slice(0, 80)}`;
}

function oneLine(text: string): string {
  const line = text
    .slice(0, 400)
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  return line.length > 240 ? `${line.slice(0, 240)}…` : line;
}
