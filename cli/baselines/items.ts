/** What a baseline learns from: items of two responses or more whose best one is known, checked before anything is done. */
import { readFileSync } from "node:fs";
import { CovoteError } from "../../lib/core/errors.js";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import { decodeUtf8 } from "../../lib/grm/limits.js";
import { parseItems } from "../../lib/spct/items.js";
import { createPreferenceStream } from "../../worlds/postcards/preferences.js";
import { renderQuery } from "../../worlds/postcards/query.js";
import { isDemo } from "../spct/panels.js";

export interface LearningItem {
  /** Of the file; null for the demo world's. */
  line: number | null;
  query: readonly ChatMessage[];
  /** At least two. */
  responses: readonly string[];
  /** Index of the best one. */
  best: number;
  reference: string | null;
}

export interface LearningItems {
  /** At least one. */
  items: LearningItem[];
  /** Left out: single responses, which have no other to be better than. */
  singles: number;
  /** Left out: several responses share the top. */
  unlabelled: number;
}

/** Throws `invalid_argument` that names file, line and count. */
export function readLearningItems({
  data,
  items: most,
  seed,
}: {
  data: string;
  items: number;
  seed: number;
}): LearningItems {
  if (isDemo(data)) {
    const items = Array.from({ length: most }, (_, index) => demoItem(seed, index));
    return { items, singles: 0, unlabelled: 0 };
  }
  const { items, unlabelled } = readFile(data);
  const pairs = items.flatMap(({ line, query, responses, label, reference }): LearningItem[] =>
    label.t === "best" ? [{ line, query, responses, best: label.index, reference }] : [],
  );
  const singles = items.length - pairs.length;
  if (pairs.length === 0) {
    const what = `all ${singles} items are single responses`;
    throw bad(`${data}: has no pair to learn from: ${what}; give items of two responses or more`);
  }
  if (pairs.length <= most) return { items: pairs, singles, unlabelled };
  const drawn = createRandom(seedFrom("baseline items", seed)).shuffle(pairs).slice(0, most);
  return { items: drawn, singles, unlabelled };
}

/** Throws `invalid_argument` with the first line that cannot be shown, and how many there are. */
export function checkItems(
  data: string,
  items: readonly LearningItem[],
  show: (item: LearningItem) => void,
): void {
  let first: CovoteError | null = null;
  let count = 0;
  for (const item of items) {
    try {
      show(item);
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      if (error.code !== "invalid_argument") throw error;
      count++;
      first ??= bad(`${data}${item.line === null ? "" : `: line ${item.line}`}: ${error.message}`, thrown);
    }
  }
  if (first === null) return;
  throw count === 1
    ? first
    : bad(`${first.message.replace(/^\[data\]: /, "")} (${count} bad lines in all)`, first);
}

/** The item that `covote spct rft` with the same seed asks its group `index` about. */
function demoItem(seed: number, index: number): LearningItem {
  const { query, responses, best } = createPreferenceStream(seedFrom(seed, "panel", index), "train")();
  const content = renderQuery(query);
  return { line: null, query: [{ role: "user", content }], responses, best, reference: null };
}

function readFile(path: string): ReturnType<typeof parseItems> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw bad(`cannot read ${path} (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`, cause);
  }
  try {
    return parseItems(decodeUtf8(path, bytes));
  } catch (cause) {
    throw bad(`${path}: ${CovoteError.from(cause).message}`, cause);
  }
}

function bad(problem: string, cause?: unknown): CovoteError {
  return new CovoteError("invalid_argument", `[data]: ${problem}`, { field: "[data]", cause });
}
