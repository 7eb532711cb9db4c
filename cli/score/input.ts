/**
 * What `covote score` is asked: one group from flags, or one per line of a JSONL file or of standard input.
 *
 * Every line is checked before anything is judged, so a damaged one never leaves half a result.
 */
import { readFileSync, statSync } from "node:fs";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { type ChatMessage, isChatMessage } from "../../lib/grm/chat.js";
import { checkScoreRequest, decodeUtf8, judgingLimits } from "../../lib/grm/limits.js";
import type { NumberedLine } from "../read-lines.js";

export interface ScoreTask {
  /** The user's own, repeated in the answer; null when there is none. */
  id: string | null;
  query: readonly ChatMessage[];
  /** Empty for a response that is given as steps. */
  responses: readonly string[];
  /** Of each response, null for one that is given as text; left out: all are. */
  steps?: readonly (readonly string[] | null)[];
  /** An answer that is known to be right; left out: none is known. */
  reference?: string;
}

export interface TaskFlags {
  query: string;
  responses: readonly string[];
  /** Of one response more, given as steps; none: there is no such response. */
  steps?: readonly string[];
  /** Text, or `@` and the name of a file. */
  reference?: string | undefined;
}

/** Throws `invalid_argument` that names the flag, `not_found` for a file that cannot be read. */
export function taskOfFlags({ query, responses, steps = [], reference }: TaskFlags): ScoreTask {
  if (query.trim() === "") throw invalid("--query", "is empty; give the text that the responses answer");
  const task = {
    id: null,
    query: [{ role: "user" as const, content: query }],
    ...(steps.length === 0 ? { responses } : { responses: [...responses, ""] }),
    ...(steps.length === 0 ? {} : { steps: [...responses.map(() => null), steps] }),
    ...(reference === undefined ? {} : { reference: referenceOf(reference) }),
  };
  checkTask(task, (message) =>
    message
      .replace(/^query\.messages\[0\]\.content:/, "--query:")
      .replace(/^responses\[(\d+)\]\.text:/, (_, i: string) => `--response ${Number(i) + 1}:`)
      .replace(/^responses\[\d+\]\.steps\[(\d+)\]:/, (_, i: string) => `--step ${Number(i) + 1}:`)
      .replace(/^responses:/, "--response:")
      .replace(/^reference:/, "--reference:"),
  );
  return task;
}

/** The flag's text, or that of the file it names, without its last line's end. */
function referenceOf(flag: string): string {
  if (!flag.startsWith("@")) return flag;
  const file = flag.slice(1);
  if (file === "") throw invalid("--reference", "names no file after the @; write --reference @FILE");
  let bytes: Uint8Array;
  try {
    const { size } = statSync(file);
    if (size > judgingLimits.textBytes) {
      throw invalid("--reference", `${file} has ${size} bytes, more than ${judgingLimits.textBytes}`);
    }
    bytes = readFileSync(file);
  } catch (thrown) {
    if (thrown instanceof CovoteError) throw thrown;
    const { code, message } = thrown as NodeJS.ErrnoException;
    const problem = { ENOENT: "no such file", EISDIR: "is a folder", EACCES: "may not be read" }[code ?? ""];
    throw new CovoteError("not_found", `--reference: ${file}: ${problem ?? message}`, { cause: thrown });
  }
  return decodeUtf8("--reference", bytes).replace(/\r?\n$/, "");
}

/** Throws `invalid_argument` that names file and line. Blank lines are left out. */
export async function readTasks(file: string, lines: AsyncIterable<NumberedLine>): Promise<ScoreTask[]> {
  const tasks: ScoreTask[] = [];
  for await (const { number, bytes } of lines) {
    const at = (message: string): string => `${file}:${number}: ${message}`;
    const task = parseLine(bytes, at);
    if (task === null) continue;
    checkTask(task, at);
    tasks.push(task);
  }
  if (tasks.length === 0) throw new CovoteError("invalid_argument", `${file}: has no lines to score`);
  return tasks;
}

const shape =
  '{"query": text or messages, "responses": [text or {"steps": [text, …]}, …], "reference": optional text, "id": optional text}';

function parseLine(bytes: Uint8Array, at: (message: string) => string): ScoreTask | null {
  const bad = (problem: string, cause?: unknown): CovoteError =>
    new CovoteError("invalid_argument", at(problem), cause === undefined ? {} : { cause });
  let text: string;
  try {
    text = decodeUtf8("line", bytes);
  } catch (cause) {
    throw bad("is not UTF-8; convert it first", cause);
  }
  if (text.trim() === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw bad(`is not JSON; a line is ${shape}`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`is not a JSON object; a line is ${shape}`);
  }
  const { id, query, responses, reference } = value as Record<string, unknown>;
  if (id !== undefined && id !== null && typeof id !== "string" && typeof id !== "number") {
    throw bad(`id: must be text, got ${shown(id)}`);
  }
  if (!Array.isArray(responses)) throw bad(`responses: must be a list of texts, got ${shown(responses)}`);
  const read = responses.map(responseOf);
  const broken = read.indexOf(null);
  if (broken >= 0) {
    throw bad(`responses[${broken}]: must be text or {"steps": [text, …]}, got ${shown(responses[broken])}`);
  }
  const answers = read as (string | readonly string[])[];
  const turns = turnsOf(query);
  if (turns === null) throw bad(`query: must be text or a list of {"role", "content"}, got ${shown(query)}`);
  if (reference !== undefined && reference !== null && typeof reference !== "string") {
    throw bad(`reference: must be text, got ${shown(reference)}`);
  }
  return {
    id: id === undefined || id === null ? null : String(id),
    query: turns,
    responses: answers.map((answer) => (typeof answer === "string" ? answer : "")),
    ...(answers.every((answer) => typeof answer === "string")
      ? {}
      : { steps: answers.map((answer) => (typeof answer === "string" ? null : answer)) }),
    ...(typeof reference === "string" ? { reference } : {}),
  };
}

/** A response as text or as its steps; null for anything else. */
function responseOf(value: unknown): string | readonly string[] | null {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return null;
  const { steps, ...others } = value as Record<string, unknown>;
  const whole = Array.isArray(steps) && steps.every((step) => typeof step === "string");
  return whole && Object.keys(others).length === 0 ? steps : null;
}

function turnsOf(query: unknown): ChatMessage[] | null {
  if (typeof query === "string") return [{ role: "user", content: query }];
  if (!Array.isArray(query)) return null;
  const turns = query.map((turn: unknown) => {
    const { role, content } = (turn ?? {}) as { role?: unknown; content?: unknown };
    return typeof role === "string" && typeof content === "string" ? { role, content } : null;
  });
  return turns.every((turn) => turn !== null && isChatMessage(turn)) ? (turns as ChatMessage[]) : null;
}

function checkTask(task: ScoreTask, naming: (message: string) => string): void {
  try {
    const { query, responses, steps = null, reference = null } = task;
    checkScoreRequest({ query, responses, steps, reference, options: {} });
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    throw new CovoteError(error.code, naming(error.message), { cause: thrown });
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
