/**
 * The labelled panels of a collection: which responses of an item are shown, and in which order. All follows from
 * the data, the seed and the panel's index, so that a collection that goes on asks the same again.
 */
import { readFileSync } from "node:fs";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { createRandom, type Random, seedFrom } from "../../lib/core/random.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import type { CorrectnessLabel } from "../../lib/grm/correctness.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import { decodeUtf8 } from "../../lib/grm/limits.js";
import { shippedCheckpoint } from "../../lib/host/shipped.js";
import { type PreferenceItem, parseItems } from "../../lib/spct/items.js";
import { checkLabel, drawOrder, panelLabel } from "../../lib/spct/panel-label.js";
import type { JudgmentLabel } from "../../lib/wire/gen/covote/v1/policy.js";
import { createPreferenceStream } from "../../worlds/postcards/preferences.js";
import { renderQuery } from "../../worlds/postcards/query.js";
import type { AskedPanel } from "./collect.js";

export type Item = Pick<PreferenceItem, "query" | "responses" | "label" | "reference">;

/** An item as it is shown. */
export interface ShownPanel {
  query: readonly ChatMessage[];
  /** In the order shown. */
  responses: readonly string[];
  reference: string | null;
  /** `order[p]` is the item's index of the response at position p. */
  order: readonly number[];
  /** In the order shown. */
  label: CorrectnessLabel;
}

export function showItem(item: Item, panelLimit: number, random: Random): ShownPanel {
  const order = drawOrder(item, panelLimit, random);
  const shown = panelLabel(item.label, order);
  if (shown === null) throw new CovoteError("internal", "a panel without its best response");
  return {
    query: item.query,
    responses: order.map((i) => item.responses[i] ?? ""),
    reference: item.reference,
    order,
    label: shown,
  };
}

/** What a grm-worker is asked about the panel; throws `invalid_argument` where the grammar has no room for it. */
export function askedPanel({ query, responses, reference, label }: ShownPanel, grammar: Grammar): AskedPanel {
  checkLabel(grammar, label);
  const messages = grammar.prompt({ query, responses, ...(reference === null ? {} : { reference }) });
  const kind: JudgmentLabel["kind"] =
    label.t === "best" ? { $case: "best", value: label.index } : { $case: "score", value: label.value };
  return { messages, label: { responses: responses.length, kind } };
}

/** Items of a data set, by where they stand in it. */
export interface ItemSource {
  readonly count: number;
  item(index: number): Item;
}

export interface DemoItems {
  count: number;
  split: "train" | "held-out";
  seed: number;
}

/** The demo world's items: `count` of them, in panels of the sizes that training uses; held-out ones all of four. */
export function demoItems({ count, split, seed }: DemoItems): ItemSource {
  const size = split === "held-out" ? { size: () => 4 } : {};
  return {
    count,
    item: (index) => {
      const draw = createPreferenceStream(seedFrom("meta RM", seed, split, index), split, size);
      const { query, responses, best } = draw();
      return {
        query: [{ role: "user", content: renderQuery(query) }],
        responses,
        label: { t: "best", index: best },
        reference: null,
      };
    },
  };
}

/** The items of a JSONL file; throws `invalid_argument` that names flag, file and line. */
export function fileItems(flag: string, path: string): { source: ItemSource; unlabelled: number } {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CovoteError("invalid_argument", `${flag}: cannot read ${path} (${why})`, {
      field: flag,
      cause,
    });
  }
  try {
    const { items, unlabelled } = parseItems(decodeUtf8(path, bytes));
    return { source: listed(items), unlabelled };
  } catch (cause) {
    const { message } = CovoteError.from(cause);
    throw new CovoteError("invalid_argument", `${flag}: ${path}: ${message}`, { field: flag, cause });
  }
}

export function listed(items: readonly Item[]): ItemSource {
  return { count: items.length, item: (index) => items[index] as Item };
}

/** A tenth of the items, at least one, for measuring; the others for training. Drawn at random. */
export function splitItems(source: ItemSource, seed: number): { train: ItemSource; heldOut: ItemSource } {
  if (source.count < 2) throw invalid("[data]", "has one item; give at least two, or --heldout");
  const order = createRandom(seedFrom("held-out items", seed)).shuffle(
    Array.from({ length: source.count }, (_, i) => i),
  );
  const cut = Math.max(1, Math.floor(source.count / 10));
  const part = (indices: readonly number[]): ItemSource => ({
    count: indices.length,
    item: (index) => source.item(indices[index] as number),
  });
  return { train: part(order.slice(cut)), heldOut: part(order.slice(0, cut)) };
}

/** Whether the data is the demo world's. */
export const isDemo = (data: string): boolean => data === shippedCheckpoint;
