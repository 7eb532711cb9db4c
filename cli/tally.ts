/**
 * `covote tally`: replays recorded votes through the tally that live votes go through.
 *
 * Nothing is printed until the whole file has been read, so a damaged line never leaves half a result.
 */
import { Command } from "commander";
import { CovoteError, invalid } from "../lib/core/errors.js";
import { decodeUtf8 } from "../lib/grm/limits.js";
import { parseRecordedItem, type RecordedItem } from "../lib/tally/recorded-votes.js";
import {
  createReplayTotals,
  type ReplayedItem,
  type ReplayOptions,
  type ReplaySummary,
  replayItem,
} from "../lib/tally/replay.js";
import { readLines } from "./read-lines.js";

interface TallyFlags {
  votes?: string;
  k?: string;
  metaKeep?: string;
  seed: string;
  json?: boolean;
}

export interface TallyOutput {
  /** UTF-8 text. */
  out(text: Uint8Array): void;
  /** Notes for people; never part of the result. */
  note(text: string): void;
}

const toProcess: TallyOutput = {
  out: (text) => process.stdout.write(text),
  note: (text) => process.stderr.write(text),
};

/** Errors are thrown as CovoteErrors, for the caller to print. */
export function tallyCommand(output: TallyOutput = toProcess): Command {
  return new Command("tally")
    .description("Replay recorded votes: rewards per item, and accuracy where the best response is known")
    .option("--votes <file>", "votes, one item per line (JSON Lines)")
    .option("--k <votes>", "votes drawn per item, without replacement")
    .option("--meta-keep <votes>", "keep the votes with the highest meta scores, at most k (default: all)")
    .option("--seed <number>", "seed of the draw", "0")
    .option("--json", "print one JSON object")
    .addHelpText("after", help)
    .action(async (flags: TallyFlags) => {
      if (flags.votes === undefined) throw invalid("--votes", "is missing; give a file of votes");
      await runTally(flags.votes, parseFlags(flags), flags.json === true, output);
    });
}

async function runTally(
  file: string,
  options: ReplayOptions,
  json: boolean,
  output: TallyOutput,
): Promise<void> {
  const totals = createReplayTotals(options.k);
  const lineOf = new Map<string, number>();
  const printed = createPrintout(
    json ? '{"items":[' : `${row("item", "pick", "tied", "votes", "rewards")}\n`,
  );
  const found = { mostVotes: 0, meta: false };
  for await (const line of readLines(file)) {
    const recorded = parseLine(file, line.number, line.bytes, lineOf);
    if (recorded === null) continue;
    found.mostVotes = Math.max(found.mostVotes, recorded.votes.length);
    found.meta ||= recorded.votes.some((vote) => (vote.meta ?? null) !== null);
    const replayed = replayItem(recorded, options);
    totals.add(replayed);
    if (json) printed.add(`${lineOf.size === 1 ? "" : ","}${JSON.stringify(itemForMachines(replayed))}`);
    else printed.add(`${itemForPeople(replayed)}\n`);
  }
  if (lineOf.size === 0) throw new CovoteError("invalid_argument", `${file}: has no items`);
  if (found.mostVotes < options.k) {
    throw invalid("--k", `no item of ${file} has ${options.k} votes; the most is ${found.mostVotes}`);
  }
  const summary = totals.summary();
  for (const note of notes(summary, options, found.meta)) output.note(`note: ${note}\n`);
  if (json) printed.add(`],${JSON.stringify(summaryForMachines(summary, options)).slice(1)}\n`);
  else printed.add(summaryForPeople(summary));
  for (const piece of printed.pieces()) output.out(piece);
}

/** Null for a blank line. */
function parseLine(
  file: string,
  number: number,
  bytes: Buffer,
  lineOf: Map<string, number>,
): RecordedItem | null {
  try {
    const text = decodeUtf8("line", bytes);
    if (text.trim() === "") return null;
    const recorded = parseRecordedItem(text);
    const earlier = lineOf.get(recorded.item);
    if (earlier !== undefined) {
      throw invalid("item", `${JSON.stringify(recorded.item)} was on line ${earlier} already`);
    }
    lineOf.set(recorded.item, number);
    return recorded;
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    const detail = error.field === undefined ? { cause: error } : { field: error.field, cause: error };
    throw new CovoteError(error.code, `${file}:${number}: ${error.message}`, detail);
  }
}

function parseFlags(flags: TallyFlags): ReplayOptions {
  if (flags.k === undefined) throw invalid("--k", "is missing; give the votes to draw per item");
  const k = wholeNumber("--k", flags.k, 1);
  const metaKeep = flags.metaKeep === undefined ? null : wholeNumber("--meta-keep", flags.metaKeep, 1);
  if (metaKeep !== null && metaKeep > k) {
    throw invalid("--meta-keep", `must not exceed --k (${k}), got ${metaKeep}`);
  }
  return { k, metaKeep, seed: wholeNumber("--seed", flags.seed, 0) };
}

function wholeNumber(flag: string, text: string, lowest: number): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value < lowest || value > 0xffffffff) {
    throw invalid(flag, `must be a whole number of at least ${lowest}, got ${JSON.stringify(text)}`);
  }
  return value;
}

function notes(summary: ReplaySummary, options: ReplayOptions, hasMeta: boolean): string[] {
  const { shortItems, unjudgedItems, items } = summary;
  const { k, metaKeep } = options;
  return [
    ...(shortItems > 0
      ? [`${shortItems} of ${items} items have fewer than ${k} votes; all of theirs count`]
      : []),
    ...(unjudgedItems > 0
      ? [`${unjudgedItems} of ${items} items have no usable vote; they count as tied`]
      : []),
    ...(metaKeep !== null && metaKeep < k && !hasMeta
      ? ["no vote has a meta score: nothing is filtered"]
      : []),
  ];
}

function itemForMachines(replayed: ReplayedItem): object {
  const { item, best, rewards, sums, pick, tied, top, votesDrawn, votesUsable, votesUsed } = replayed;
  return {
    item,
    best,
    rewards,
    sums,
    pick,
    tied,
    top,
    votes_drawn: votesDrawn,
    votes_usable: votesUsable,
    votes_used: votesUsed,
  };
}

function summaryForMachines(summary: ReplaySummary, { k, metaKeep, seed }: ReplayOptions): object {
  return {
    k,
    meta_keep: metaKeep,
    seed,
    item_count: summary.items,
    labelled: summary.labelled,
    accuracy: summary.accuracy,
    strict_accuracy: summary.strictAccuracy,
    tie_rate: summary.tieRate,
    short_items: summary.shortItems,
    unjudged_items: summary.unjudgedItems,
  };
}

function itemForPeople({ item, pick, tied, votesUsed, votesDrawn, rewards }: ReplayedItem): string {
  const votes = votesUsed === votesDrawn ? String(votesUsed) : `${votesUsed}/${votesDrawn}`;
  const written = rewards.map((reward) => (reward === null ? "null" : String(Number(reward.toPrecision(6)))));
  return row(item, pick === null ? "-" : String(pick), tied ? "tied" : "", votes, written.join(" "));
}

function row(item: string, pick: string, tied: string, votes: string, rewards: string): string {
  // Control characters in a name would garble the terminal.
  const name = item.replace(/\p{Cc}/gu, " ");
  return `${name.padEnd(32)}  ${pick.padStart(4)}  ${tied.padEnd(4)}  ${votes.padStart(7)}  ${rewards}`;
}

function summaryForPeople(summary: ReplaySummary): string {
  const percent = (share: number | null): string => (share === null ? "-" : `${(100 * share).toFixed(2)} %`);
  return [
    "",
    `items            ${summary.items} (${summary.labelled} with a known best response)`,
    `accuracy         ${percent(summary.accuracy)}  (a tie counts as one half)`,
    `strict accuracy  ${percent(summary.strictAccuracy)}  (a tie is wrong)`,
    `tie rate         ${percent(summary.tieRate)}`,
    "",
  ].join("\n");
}

/** Text held back as bytes: a tenth of the memory that as many small strings take. */
function createPrintout(start: string): { add(text: string): void; pieces(): Buffer[] } {
  const full: Buffer[] = [];
  let open = start;
  return {
    add(text) {
      open += text;
      if (open.length < 1 << 16) return;
      full.push(Buffer.from(open));
      open = "";
    },
    pieces: () => [...full, Buffer.from(open)],
  };
}

const help = `
A line of the file:
  {"item": "x", "best": 0, "votes": [{"judge": "a", "scores": [3, 7], "order": [1, 0], "meta": 0.4}]}
scores[i] belongs to response order[i] (default: i); null is a failed score or vote. best, judge, order and
meta are optional. A reward is the mean of the kept votes' scores, null where no vote scored the response.
An item with fewer than k votes uses all it has; an item without a usable vote counts as tied.

Example:
  $ covote tally --votes votes.jsonl --k 8 --meta-keep 4 --seed 1`;
