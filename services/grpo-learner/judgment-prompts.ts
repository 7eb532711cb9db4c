/**
 * Panels for a reward model that learns (SPCT): what it is asked about each, and what a right judgment says.
 *
 * Order and choice of responses follow from the seed and the group's index, so that a restart asks the same again.
 */
import { readFileSync } from "node:fs";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { createRandom, type Random, seedFrom } from "../../lib/core/random.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import { decodeUtf8 } from "../../lib/grm/limits.js";
import { shippedCheckpoint } from "../../lib/host/shipped.js";
import { hintedPrompts } from "../../lib/spct/hints.js";
import { type PreferenceItem, parseItems } from "../../lib/spct/items.js";
import { checkLabel, drawOrder, panelLabel } from "../../lib/spct/panel-label.js";
import { createPreferenceStream } from "../../worlds/postcards/preferences.js";
import { renderQuery } from "../../worlds/postcards/query.js";
import type { PanelRoom } from "./panel-room.js";
import type { PromptSource, RunPrompt } from "./prompt-source.js";

const field = "training.prompts";

export interface JudgmentPromptOptions {
  /** JSONL of preferences, or the demo world's. */
  prompts: string;
  seed: number;
  grammar: Grammar;
  /** Most responses shown together; of a longer list the best one and some others are. */
  panelLimit: number;
  /** Each panel twice: as it is, and with the best response named. */
  hinted: boolean;
  /** Checks the panels of a file, of longer lists the largest one. */
  room?: PanelRoom;
}

export function openJudgmentPrompts({
  prompts,
  seed,
  grammar,
  panelLimit,
  hinted,
  room = () => undefined,
}: JudgmentPromptOptions): PromptSource {
  const limit = Math.min(panelLimit, grammar.maxPanel);
  const panels = hinted ? 2 : 1;
  const show = (item: Item, random: Random, isHinted: boolean): RunPrompt =>
    judgmentPrompt(item, { grammar, panelLimit: limit, random, hinted: isHinted });
  const { itemAt, count } =
    prompts === shippedCheckpoint
      ? { itemAt: postcardsItems(seed), count: hopelessAfter }
      : fileItems(prompts, seed, (item) =>
          room(show(largestPanel(item, limit), createRandom(0), hinted).messages),
        );
  return {
    round: count * panels,
    prompt: (index) => {
      const item = Math.floor(index / panels);
      const random = createRandom(seedFrom(seed, "order", item));
      return show(itemAt(item), random, index % panels === 1);
    },
  };
}

/** Panels of the demo world, ten steps of the usual size, of which a model that can be taught gets some right. */
const hopelessAfter = 320;

type Item = Pick<PreferenceItem, "query" | "responses" | "label" | "reference">;

export interface PanelChoice {
  grammar: Grammar;
  panelLimit: number;
  /** Decides the order. */
  random: Random;
  hinted: boolean;
}

/** One item as a panel; throws `invalid_argument` for one that the grammar cannot show. */
export function judgmentPrompt(item: Item, { grammar, panelLimit, random, hinted }: PanelChoice): RunPrompt {
  const { query, responses, reference } = item;
  const order = drawOrder(item, panelLimit, random);
  const shown = order.map((i) => responses[i] ?? "");
  const label = panelLabel(item.label, order);
  if (label === null) {
    throw invalid(
      "best",
      "cannot be picked from panels of one (judging.panelLimit, or the grammar's own limit)",
    );
  }
  checkLabel(grammar, label);
  const input = { query, responses: shown, ...(reference === null ? {} : { reference }) };
  const messages = hinted ? hintedPrompts(grammar, input, label).sampling : grammar.prompt(input);
  const kind =
    label.t === "best"
      ? ({ $case: "best", value: label.index } as const)
      : ({ $case: "score", value: label.value } as const);
  return { messages: [...messages], label: { responses: shown.length, kind }, hinted };
}

/** The item with the best response and the longest others, where only so many are shown. */
function largestPanel<T extends Item>(item: T, limit: number): T {
  const { responses, label } = item;
  if (label.t !== "best" || responses.length <= limit) return item;
  const others = responses.filter((_, i) => i !== label.index).toSorted((a, b) => b.length - a.length);
  const shown = [responses[label.index] ?? "", ...others.slice(0, limit - 1)];
  return { ...item, responses: shown, label: { t: "best", index: 0 } };
}

function postcardsItems(seed: number): (index: number) => Item {
  return (index) => {
    const { query, responses, best } = createPreferenceStream(seedFrom(seed, "panel", index), "train")();
    return {
      query: [{ role: "user", content: renderQuery(query) }],
      responses,
      label: { t: "best", index: best },
      reference: null,
    };
  };
}

function fileItems(
  path: string,
  seed: number,
  show: (item: Item) => unknown,
): { itemAt: (index: number) => Item; count: number } {
  const items = readItems(path);
  checkItems(path, items, show);
  const orderOf = (round: number) => createRandom(seedFrom(seed, "round", round)).shuffle(items);
  let last = { round: 0, order: orderOf(0) };
  const itemAt = (index: number): Item => {
    const round = Math.floor(index / items.length);
    if (round !== last.round) last = { round, order: orderOf(round) };
    return last.order[index % items.length] as Item;
  };
  return { itemAt, count: items.length };
}

/** An item that cannot be shown is found before the run, not by each of its groups. */
function checkItems(path: string, items: readonly PreferenceItem[], show: (item: Item) => unknown): void {
  let first: CovoteError | null = null;
  let bad = 0;
  for (const item of items) {
    try {
      show(item);
    } catch (thrown) {
      const { message } = CovoteError.from(thrown);
      bad++;
      first ??= new CovoteError("invalid_argument", `${field}: ${path}: line ${item.line}: ${message}`, {
        field,
        cause: thrown,
      });
    }
  }
  if (first === null) return;
  if (bad === 1) throw first;
  throw new CovoteError(first.code, `${first.message} (${bad} bad lines in all)`, {
    field,
    cause: first.cause,
  });
}

/** The labelled items of a data set; throws `invalid_argument` that names the file, the line and the fix. */
export function readItems(path: string): PreferenceItem[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CovoteError("invalid_argument", `${field}: cannot read ${path} (${why})`, { field, cause });
  }
  try {
    const { items, unlabelled } = parseItems(decodeUtf8(path, bytes));
    if (items.length > 0) return items;
    throw invalid(path, `has no item with a single best response (${unlabelled} have none)`);
  } catch (cause) {
    throw new CovoteError("invalid_argument", `${field}: ${path}: ${CovoteError.from(cause).message}`, {
      field,
      cause,
    });
  }
}
