/**
 * The file that keeps what was asked, one line per item, in the format that `covote tally` reads.
 *
 * - A line is appended as soon as its item is answered, so an interrupted evaluation goes on where it stopped. The
 *   half-written line of a killed process is cut off.
 * - A line that was asked otherwise (another text, seed or number of votes under the same name) is refused: nobody's
 *   votes are overwritten.
 */
import { closeSync, mkdirSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { CovoteError } from "../../lib/core/errors.js";
import {
  type AskedItem,
  parseAskedItem,
  renderAskedItem,
  sameTexts,
} from "../../lib/evaluation/asked-votes.js";
import type { EvaluationItem } from "../../lib/evaluation/items.js";

export interface VotesFile {
  readonly path: string;
  /** What the file holds of the expected items, by id. */
  readonly kept: ReadonlyMap<string, AskedItem>;
  /** The item as it reads back from the file. */
  append(asked: AskedItem, item: EvaluationItem): AskedItem;
  close(): void;
}

/** `digests`: what is going to be asked, by item. Throws `invalid_argument` with the line. */
export function openVotesFile(path: string, digests: ReadonlyMap<string, string>): VotesFile {
  const text = readIfThere("--record", path);
  const whole = text.lastIndexOf("\n") + 1;
  if (whole < text.length) truncateSync(path, Buffer.byteLength(text.slice(0, whole)));
  const kept = keptOf(path, text.slice(0, whole), (asked, line) => {
    const expected = digests.get(asked.item);
    if (expected === undefined || expected === asked.asked) return expected !== undefined;
    const how = sameTexts(expected, asked.asked) ? "votes, temperature, seed, panels or references" : "texts";
    throw otherwise(
      "--record",
      `${path}:${line}: ${asked.item} was asked with other ${how}; give another file`,
    );
  });
  // Opened with the first answer: what cannot be asked leaves nothing behind.
  let file: number | null = null;
  return {
    path,
    kept,
    append: (asked, item) => {
      file ??= openForAppending(path);
      const line = renderAskedItem(asked, item);
      writeSync(file, `${line}\n`);
      return parseAskedItem(line);
    },
    close: () => {
      if (file !== null) closeSync(file);
    },
  };
}

/** The votes of another judge on the same texts, however they were asked; the file is only read. */
export function readOtherVotes(path: string, digests: ReadonlyMap<string, string>): Map<string, AskedItem> {
  const text = readIfThere("--against", path);
  const kept = keptOf(path, text.slice(0, text.lastIndexOf("\n") + 1), (asked, line) => {
    const expected = digests.get(asked.item);
    if (expected === undefined || sameTexts(expected, asked.asked)) return expected !== undefined;
    throw otherwise(
      "--against",
      `${path}:${line}: ${asked.item} has other texts there; compare the same data`,
    );
  });
  if (kept.size > 0) return kept;
  throw otherwise(
    "--against",
    `${path}: ${text === "" ? "no such file, or empty" : "has no votes on these items"}`,
  );
}

function keptOf(
  path: string,
  text: string,
  wanted: (asked: AskedItem, line: number) => boolean,
): Map<string, AskedItem> {
  const kept = new Map<string, AskedItem>();
  text.split("\n").forEach((line, index) => {
    if (line.trim() === "") return;
    const asked = parseLine(path, index + 1, line);
    if (wanted(asked, index + 1)) kept.set(asked.item, asked);
  });
  return kept;
}

function otherwise(field: string, message: string): CovoteError {
  return new CovoteError("invalid_argument", `${field}: ${message}`, { field });
}

function readIfThere(field: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw unusable(field, path, thrown);
  }
}

function openForAppending(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, "a");
  } catch (thrown) {
    throw unusable("--record", path, thrown);
  }
}

function unusable(field: string, path: string, thrown: unknown): CovoteError {
  const problem = thrown instanceof Error ? thrown.message : String(thrown);
  return new CovoteError("invalid_argument", `${field}: ${path} cannot be used: ${problem}`, {
    field,
    cause: thrown,
  });
}

function parseLine(path: string, number: number, line: string): AskedItem {
  try {
    return parseAskedItem(line);
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    throw new CovoteError("invalid_argument", `${path}:${number}: ${error.message}`, { cause: error });
  }
}
