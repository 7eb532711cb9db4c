/** Where a run's queries come from: a function of the group's index, so that a restart asks the same again. */
import { readFileSync } from "node:fs";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { type ChatMessage, isChatMessage } from "../../lib/grm/chat.js";
import { checkScoreRequest, decodeUtf8 } from "../../lib/grm/limits.js";
import { shippedCheckpoint } from "../../lib/host/shipped.js";
import type { JudgmentLabel } from "../../lib/wire/gen/covote/v1/policy.js";
import { createQueryStream, renderQuery } from "../../worlds/postcards/query.js";

export interface PromptSource {
  /**
   * Groups after which each item of the data was asked about once. Of endless data: so many that a model which has
   * done nothing right by then will not. Absent: nothing is known.
   */
  readonly round?: number;
  /** What the index-th group, counted from 0, is sampled for. */
  prompt(index: number): RunPrompt;
}

export interface RunPrompt {
  messages: ChatMessage[];
  /** Of a panel for a reward model to judge: what a right judgment says. Null: responses are judged by votes. */
  label: JudgmentLabel | null;
  /** The messages name the best response. */
  hinted?: boolean;
}

/** The demo world's training queries, or those of a JSONL file, in an order that the seed decides. */
export function openPromptSource(prompts: string, seed: number): PromptSource {
  return prompts === shippedCheckpoint ? postcardsPrompts(seed) : filePrompts(prompts, seed);
}

function postcardsPrompts(seed: number): PromptSource {
  return {
    prompt: (index) => {
      const draw = createQueryStream("train", createRandom(seedFrom(seed, "query", index)));
      return { messages: [{ role: "user", content: renderQuery(draw()) }], label: null };
    },
  };
}

function filePrompts(path: string, seed: number): PromptSource {
  const queries = readQueries(path);
  const orderOf = (round: number) => createRandom(seedFrom(seed, "round", round)).shuffle(queries);
  // The last round asked for: shuffling a large file for each of its groups would be felt.
  let last = { round: 0, order: orderOf(0) };
  return {
    prompt: (index) => {
      const round = Math.floor(index / queries.length);
      if (round !== last.round) last = { round, order: orderOf(round) };
      return { messages: last.order[index % queries.length] ?? [], label: null };
    },
  };
}

function readQueries(path: string): ChatMessage[][] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CovoteError("invalid_argument", `training.prompts: cannot read ${path} (${why})`, {
      field: "training.prompts",
      cause,
    });
  }
  const lines = decodeUtf8(`training.prompts: ${path}`, bytes)
    .split("\n")
    .map((line, i) => ({ line, at: `${path}:${i + 1}` }));
  const queries = lines.filter(({ line }) => line.trim() !== "").map(({ line, at }) => readQuery(line, at));
  if (queries.length === 0) throw invalid("training.prompts", `${path} has no queries`);
  return queries;
}

function readQuery(line: string, at: string): ChatMessage[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new CovoteError("invalid_argument", `training.prompts: ${at}: is not JSON`, { cause });
  }
  const query = (value as { query?: unknown } | null)?.query;
  const turns = typeof query === "string" && query !== "" ? [{ role: "user", content: query }] : query;
  if (!Array.isArray(turns) || !turns.every(isTurn)) {
    throw invalid(
      `training.prompts: ${at}`,
      'must be {"query": text} or {"query": [{"role", "content"}, …]}',
    );
  }
  checkJudgeable(turns, at);
  return turns;
}

/** A query that no reward model would be asked about is found before the run, not by each of its groups. */
function checkJudgeable(query: ChatMessage[], at: string): void {
  try {
    checkScoreRequest({ query, responses: [""], options: {} });
  } catch (cause) {
    throw new CovoteError("invalid_argument", `training.prompts: ${at}: ${CovoteError.from(cause).message}`, {
      field: "training.prompts",
      cause,
    });
  }
}

function isTurn(value: unknown): value is ChatMessage {
  const turn = value as { role?: unknown; content?: unknown } | null;
  return (
    typeof turn?.role === "string" &&
    typeof turn.content === "string" &&
    isChatMessage({ role: turn.role, content: turn.content })
  );
}
