/**
 * What a judgment may be asked for: every bound in one place, checked before anything is dispatched.
 *
 * Each violation is one `invalid_argument` that names the field as the client wrote it (`responses[3].text`,
 * `options.votes`). Whether a prompt fits the model's context is not known here; the engine says that.
 */
import { type CovoteError, invalid } from "../core/errors.js";
import { chatRoles } from "./chat.js";

export interface JudgingLimits {
  /** Responses, and the steps of those that are given as steps, together. */
  responses: number;
  votes: number;
  panelLimit: number;
  split: number;
  temperature: number;
  /** Of one text, in bytes of UTF-8. */
  textBytes: number;
  /** Of query, responses and reference answer together, in bytes of UTF-8. */
  requestBytes: number;
  turns: number;
  deadlineMs: number;
  labels: number;
  /** Of one label's name or value, in characters. */
  labelLength: number;
}

export const judgingLimits: JudgingLimits = {
  responses: 256,
  votes: 128,
  panelLimit: 16,
  split: 16,
  temperature: 2,
  textBytes: 1024 * 1024,
  requestBytes: 8 * 1024 * 1024,
  turns: 256,
  deadlineMs: 24 * 60 * 60 * 1000,
  labels: 16,
  labelLength: 256,
};

export interface JudgingChoice {
  /** Votes per response. */
  votes: number;
  /** Votes kept by the meta RM; null or 0 is plain voting. */
  metaKeep: number | null;
  temperature: number;
  /** 32-bit unsigned. */
  seed: number;
  panelLimit: number;
  /** Time allowed, in milliseconds. */
  deadlineMs: number;
  /** Sets of principles drawn apart per query; 0: votes write their own. */
  split: number;
}

export interface CheckedRequest {
  /** Empty when the client chose none. */
  requestId?: string;
  query: readonly { role: string; content: string }[];
  /** Empty for a response that is given as steps. */
  responses: readonly string[];
  /** Of each response, null for one that is not given as steps; null: none is. */
  steps?: readonly (readonly string[] | null)[] | null;
  /** Null: none is known. */
  reference?: string | null;
  options: Partial<JudgingChoice>;
  labels?: Readonly<Record<string, string>>;
}

/** Throws `invalid_argument` for the first field that is out of bounds; unset options are not checked. */
export function checkScoreRequest(request: CheckedRequest, limits: JudgingLimits = judgingLimits): void {
  const id = request.requestId ?? "";
  if (id !== "" && !/^[A-Za-z0-9_-]{1,128}$/.test(id)) {
    throw invalid("request_id", "must be 1 to 128 characters of A-Z a-z 0-9 _ -");
  }
  checkQuery(request.query, limits);
  const { responses } = request;
  if (!Array.isArray(responses) || responses.length === 0) {
    throw invalid("responses", "is empty; give at least one response");
  }
  if (responses.length > limits.responses) {
    throw invalid("responses", `at most ${limits.responses} in one request, got ${responses.length}`);
  }
  responses.forEach((text, index) => {
    checkText(`responses[${index}].text`, text, limits.textBytes);
  });
  const steps = request.steps ?? null;
  if (steps !== null) checkSteps(responses, steps, limits);
  const reference = request.reference ?? null;
  if (reference !== null) checkReference(reference, limits.textBytes);
  const texts = [...request.query.map((turn) => turn.content), ...responses, reference ?? ""];
  for (const each of steps ?? []) if (each !== null) texts.push(...each);
  const total = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (total > limits.requestBytes) {
    const what = reference === null ? "query and responses" : "query, responses and reference";
    throw invalid("responses", `${what} are ${total} bytes, more than ${limits.requestBytes}`);
  }
  checkJudgingChoice(request.options, limits);
  checkLabels(request.labels ?? {}, limits);
}

/** Throws `invalid_argument` for the first option out of bounds; fields are named `options.…`. */
export function checkJudgingChoice(
  choice: Partial<JudgingChoice>,
  limits: JudgingLimits = judgingLimits,
): void {
  whole("options.votes", choice.votes, 1, limits.votes);
  whole("options.meta_keep", choice.metaKeep ?? undefined, 0, limits.votes);
  const { votes, metaKeep } = choice;
  if (votes !== undefined && metaKeep !== undefined && metaKeep !== null && metaKeep > votes) {
    throw invalid("options.meta_keep", `must not exceed options.votes (${votes}), got ${metaKeep}`);
  }
  if (choice.temperature !== undefined) {
    checkTemperature("options.temperature", choice.temperature, limits.temperature);
  }
  whole("options.seed", choice.seed, 0, 0xffffffff);
  whole("options.panel_limit", choice.panelLimit, 1, limits.panelLimit);
  whole("options.deadline_ms", choice.deadlineMs, 1, limits.deadlineMs);
  whole("options.split", choice.split, 0, limits.split);
}

/** Below this, and above 0 (greedy), the quotients of sampling leave the range of the numbers that engines use. */
export const lowestTemperature = 0.01;

/** Throws unless it is a temperature that every engine samples at. */
export function checkTemperature(field: string, temperature: number, highest: number): void {
  if (temperature === 0 || (temperature >= lowestTemperature && temperature <= highest)) return;
  throw invalid(field, `must be 0 or within ${lowestTemperature} to ${highest}, got ${temperature}`);
}

/** Throws unless `text` is a string of well-formed Unicode of at most `bytes` bytes of UTF-8. */
export function checkText(field: string, text: unknown, bytes: number): void {
  if (typeof text !== "string")
    throw invalid(field, `must be text, got ${text === null ? "null" : typeof text}`);
  const length = Buffer.byteLength(text);
  if (length > bytes) throw invalid(field, `is ${length} bytes long, more than ${bytes}`);
  const broken = text.search(/\p{Surrogate}/u);
  if (broken >= 0) {
    throw invalid(field, `is not well-formed Unicode: half of a surrogate pair at character ${broken}`);
  }
}

/** Bytes as text; throws `invalid_argument` where they are not UTF-8. A byte order mark is left out. */
export function decodeUtf8(field: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    const error: CovoteError = invalid(field, "is not UTF-8; convert it first");
    error.cause = cause;
    throw error;
  }
}

/** A step is what is scored: an empty one is a slip, unlike an empty response. */
function checkSteps(
  responses: readonly string[],
  steps: readonly (readonly string[] | null)[],
  limits: JudgingLimits,
): void {
  let scored = responses.length;
  steps.forEach((each, response) => {
    if (each === null) return;
    const field = `responses[${response}].steps`;
    if (responses[response] !== "") {
      throw invalid(`responses[${response}]`, "has text and steps; give one or the other");
    }
    if (each.length === 0) throw invalid(field, "is empty; give at least one step, or the response as text");
    each.forEach((step, index) => {
      checkText(`${field}[${index}]`, step, limits.textBytes);
      if (step.trim() === "") throw invalid(`${field}[${index}]`, "is blank; leave it out");
    });
    scored += each.length;
  });
  if (scored > limits.responses) {
    throw invalid(
      "responses",
      `at most ${limits.responses} responses and steps in one request, got ${scored}`,
    );
  }
}

/** Unlike a response, which may be empty, a reference answer is right: blank is a slip. */
function checkReference(reference: unknown, bytes: number): void {
  checkText("reference", reference, bytes);
  if ((reference as string).trim() === "") throw invalid("reference", "is blank; give text or leave it out");
}

function checkQuery(query: CheckedRequest["query"], limits: JudgingLimits): void {
  if (!Array.isArray(query) || query.length === 0)
    throw invalid("query", "is empty; give at least one user turn");
  if (query.length > limits.turns) {
    throw invalid("query", `at most ${limits.turns} turns, got ${query.length}`);
  }
  query.forEach((turn: { role: string; content: string }, index) => {
    const field = `query.messages[${index}]`;
    if (!(chatRoles as readonly string[]).includes(turn.role)) {
      throw invalid(
        `${field}.role`,
        `must be one of ${chatRoles.join(", ")}, got ${JSON.stringify(turn.role)}`,
      );
    }
    checkText(`${field}.content`, turn.content, limits.textBytes);
  });
  if (query.at(-1)?.role !== "user")
    throw invalid("query", "its last turn must be the user's: it is what is judged");
}

function checkLabels(labels: Readonly<Record<string, string>>, limits: JudgingLimits): void {
  const entries = Object.entries(labels);
  if (entries.length > limits.labels) {
    throw invalid("labels", `at most ${limits.labels}, got ${entries.length}`);
  }
  for (const [name, value] of entries) {
    if (name.length > limits.labelLength || value.length > limits.labelLength) {
      throw invalid("labels", `a name or value is longer than ${limits.labelLength} characters`);
    }
  }
}

function whole(field: string, value: number | undefined, lowest: number, highest: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw invalid(field, `must be a whole number within ${lowest} to ${highest}, got ${value}`);
  }
}
