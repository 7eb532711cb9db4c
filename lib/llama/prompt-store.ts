/**
 * Prompts with their keys and values: read once, shared by every request that has the same prompt, and by
 * prompts that begin alike (in whole pages). Kept after use until the room is needed.
 *
 * A prompt is filled in the order of `acquire`; pages are shared from the moment they are planned. So fill
 * prompts first come, first served, and fill every acquired prompt to its end, even when nobody waits for it.
 */
import type { Decoder } from "./decoder.js";
import type { Kernels } from "./kernels.js";
import { createPageStore } from "./page-store.js";

export interface Prompt {
  readonly tokens: readonly number[];
  readonly pages: readonly number[];
  /** What the model says after the last token: logits or a score. Undefined while it is being filled. */
  result: Float32Array | undefined;
}

export interface Acquired {
  prompt: Prompt;
  /** Pages for tokens after the prompt, for this holder alone. */
  own: readonly number[];
  /** Prompt tokens whose keys and values were there, or on their way, already. */
  cachedTokens: number;
}

export interface PromptStore {
  /** A prompt and `ownPages` more pages; undefined while there is no room: something must be released first. */
  acquire(tokens: readonly number[], ownPages: number): Acquired | undefined;
  /** Gives back one `acquire`. */
  release(acquired: Acquired): void;
  /** Prompts that are not yet filled. */
  readonly filling: number;
  /** Adds up to `budget` rows of unfilled prompts to the decoder's batch. */
  plan(budget: number): void;
  /** After the decoder ran: stores results. Returns the prompts that are filled now. */
  collect(): Prompt[];
  /** Forgets all that is cached; no prompt may be in use. */
  forget(): void;
  /** Prompt tokens run through the model so far. */
  readonly filledTokens: number;
}

interface Entry extends Prompt {
  key: string;
  references: number;
  /** Tokens whose rows have been planned. */
  planned: number;
  /** Its page table while it is being filled. */
  table: number;
}

/** `outputs`: floats of one result. `pages`: as given to the decoder. */
export function createPromptStore(options: {
  decoder: Decoder;
  kernels: Kernels;
  pages: number;
  outputs: number;
}): PromptStore {
  const { decoder, kernels, outputs } = options;
  const size = decoder.pagePositions;
  const pages = createPageStore(options.pages, size);
  const entries = new Map<string, Entry>();
  const idle = new Set<Entry>(); // filled, unused, the longest unused first
  const queue: Entry[] = [];
  const spareTables: number[] = [];
  let wanted: { entry: Entry; result: number }[] = [];
  let filledTokens = 0;

  const releasePages = (list: readonly number[]): void => {
    for (let i = list.length - 1; i >= 0; i--) pages.release(list[i] as number);
  };
  const drop = (entry: Entry): void => {
    idle.delete(entry);
    entries.delete(entry.key);
    releasePages(entry.pages);
  };
  const takePages = (count: number): number[] | undefined => {
    while (pages.available < count) {
      const oldest = idle.values().next().value;
      if (oldest === undefined) return undefined;
      drop(oldest);
    }
    return Array.from({ length: count }, () => pages.take() as number);
  };

  /** Retains the pages of the longest known beginning. */
  const match = (tokens: readonly number[]): number[] => {
    const found: number[] = [];
    for (let at = 0; at + size <= tokens.length; at += size) {
      const page = pages.find(found.at(-1), tokens, at);
      if (page === undefined) break;
      pages.retain(page);
      found.push(page);
    }
    return found;
  };

  const create = (tokens: readonly number[], key: string, ownPages: number): Acquired | undefined => {
    const known = match(tokens);
    const count = Math.ceil(tokens.length / size) - known.length;
    const fresh = takePages(count + ownPages);
    if (fresh === undefined) {
      releasePages(known);
      return undefined;
    }
    const all = [...known, ...fresh.slice(0, count)];
    const table = spareTables.pop() ?? decoder.createTable();
    all.forEach((page, i) => {
      decoder.setTable(table, i, page, size);
      if (i >= known.length && (i + 1) * size <= tokens.length)
        pages.name(page, all[i - 1], tokens, i * size);
    });
    // The last token always runs: its result is wanted. (Writing its keys again writes the same bits.)
    const planned = Math.min(known.length * size, tokens.length - 1);
    const entry: Entry = { key, tokens, pages: all, planned, result: undefined, references: 1, table };
    entries.set(key, entry);
    queue.push(entry);
    return { prompt: entry, own: fresh.slice(count), cachedTokens: planned };
  };

  const release = (entry: Entry): void => {
    entry.references--;
    if (entry.references === 0 && entry.result !== undefined) idle.add(entry);
  };

  return {
    acquire(tokens, ownPages) {
      const key = tokens.join();
      const entry = entries.get(key);
      if (entry === undefined) return create(tokens, key, ownPages);
      entry.references++;
      idle.delete(entry);
      const own = takePages(ownPages);
      if (own !== undefined) return { prompt: entry, own, cachedTokens: tokens.length };
      release(entry);
      return undefined;
    },
    release({ prompt, own }) {
      releasePages(own);
      release(prompt as Entry);
    },
    get filling() {
      return queue.length;
    },
    plan(budget) {
      let left = budget;
      for (const entry of queue) {
        const { tokens, table } = entry;
        const end = Math.min(tokens.length, entry.planned + left);
        left -= end - entry.planned;
        filledTokens += end - entry.planned;
        for (let at = entry.planned; at < end; at++) {
          const slot = (entry.pages[Math.floor(at / size)] as number) * size + (at % size);
          decoder.add(tokens[at] as number, at, slot, table);
        }
        entry.planned = end;
        if (end < tokens.length) return;
        wanted.push({ entry, result: decoder.want() });
      }
    },
    collect() {
      const filled = wanted;
      wanted = [];
      queue.splice(0, filled.length);
      return filled.map(({ entry, result }) => {
        entry.result = kernels.floats(decoder.result(result), outputs).slice();
        spareTables.push(entry.table);
        if (entry.references === 0) idle.add(entry);
        return entry;
      });
    },
    forget() {
      for (const entry of [...idle]) drop(entry);
      pages.forget();
    },
    get filledTokens() {
      return filledTokens;
    },
  };
}
