/**
 * A corpus: what a model is to answer to what, read from plain JSONL with one example per line:
 *
 *     {"query": text | messages, "answer": text}
 *
 * Blank lines, a byte order mark and carriage returns are passed over; lines are counted from 1 with them. All lines
 * are read before any is refused: the error names the first bad one and how many there are.
 */
import { CovoteError, invalid } from "../core/errors.js";
import { type ChatMessage, isChatMessage } from "../grm/chat.js";
import { checkText, judgingLimits } from "../grm/limits.js";

export interface CorpusExample {
  /** Ends with the user's turn. */
  messages: readonly ChatMessage[];
  answer: string;
}

export interface CorpusLine extends CorpusExample {
  /** Of the file, counted from 1. */
  line: number;
}

const shape = '{"query": text or messages, "answer": text}';

/**
 * At least one example. `check` throws `invalid_argument` for one that the model cannot learn. Throws
 * `invalid_argument`, `line N: field: …`, without any file name: the caller knows it.
 */
export function parseCorpus(
  text: string,
  check: (example: CorpusExample) => void = () => undefined,
): CorpusLine[] {
  const examples: CorpusLine[] = [];
  let first: CovoteError | null = null;
  let bad = 0;
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  lines.forEach((content, index) => {
    if (content.trim() === "") return;
    try {
      const example = parseExample(content);
      check(example);
      examples.push({ ...example, line: index + 1 });
    } catch (thrown) {
      const { code, message } = CovoteError.from(thrown);
      bad++;
      first ??= new CovoteError(code, `line ${index + 1}: ${message}`, { cause: thrown });
    }
  });
  if (first !== null) {
    const { code, message, cause } = first as CovoteError;
    throw bad === 1 ? first : new CovoteError(code, `${message} (${bad} bad lines in all)`, { cause });
  }
  if (examples.length === 0) {
    throw new CovoteError("invalid_argument", `has no examples; a line is ${shape}`);
  }
  return examples;
}

function parseExample(line: string): CorpusExample {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new CovoteError("invalid_argument", `is not JSON; write ${shape}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("line", `is not a JSON object; write ${shape}`);
  }
  const { query, answer } = value as { query?: unknown; answer?: unknown };
  const turns: unknown = typeof query === "string" ? [{ role: "user", content: query }] : query;
  if (!Array.isArray(turns) || turns.length === 0 || !turns.every(isTurn)) {
    throw invalid("query", 'must be text or a list of {"role", "content"}');
  }
  if (turns.at(-1)?.role !== "user") throw invalid("query", "must end with the user's turn");
  checkText("answer", answer, judgingLimits.textBytes);
  if ((answer as string).trim() === "") throw invalid("answer", "is blank; give the text to learn");
  return { messages: turns, answer: answer as string };
}

function isTurn(value: unknown): value is ChatMessage {
  const turn = value as { role?: unknown; content?: unknown } | null;
  return (
    typeof turn?.role === "string" &&
    typeof turn.content === "string" &&
    isChatMessage({ role: turn.role, content: turn.content })
  );
}
