/**
 * The folder of a run: what it was told (`config.json`, secrets masked), what it saw step by step
 * (`metrics.jsonl`), what came of it (`summary.json`, `samples.json`, `report.html`), and `checkpoints/`.
 *
 * - A step is one line, written and synced at once: a crash costs at most the line being written, and opening
 *   the folder again cuts a torn line off.
 * - Steps only grow: a step that is already there is not written twice.
 * - Every other file is replaced as a whole or not at all.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import { CovoteError } from "../../lib/core/errors.js";
import { maskSecrets } from "./mask-secrets.js";
import type { Postcard, StepRecord, Summary } from "./records.js";

export interface Samples {
  before: readonly Postcard[];
  after: readonly Postcard[];
}

export interface RunFolder {
  /** Absolute. */
  readonly path: string;
  /** The folder's own name: `<date>-<seed>-<id>`. */
  readonly name: string;
  /** Absolute path of `parts` in the folder. */
  file(...parts: string[]): string;
  /** Writes the step's line; false when the step, or a later one, is there already. */
  append(record: StepRecord): boolean;
  /** The records so far, in order. */
  records(): readonly StepRecord[];
  writeSamples(samples: Samples): void;
  writeSummary(summary: Summary): void;
  /** Draws the report from what the folder holds; throws `failed_precondition` before there is a summary. */
  writeReport(): Promise<void>;
  close(): void;
}

export interface NewRun {
  /** Folder of all runs, e.g. `runs`. */
  root: string;
  seed: number;
  /** Short and unique: what tells two runs of one day and seed apart. */
  id: string;
  config: unknown;
  startedAt: Date;
}

export function createRunFolder(run: NewRun): RunFolder {
  const name = `${run.startedAt.toISOString().slice(0, 10)}-${run.seed}-${run.id}`;
  const path = resolve(run.root, name);
  if (existsSync(path)) {
    throw new CovoteError("already_exists", `the run folder ${path} is there already; use another id`);
  }
  try {
    mkdirSync(join(path, "checkpoints"), { recursive: true });
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new CovoteError("failed_precondition", `cannot create the run folder ${path} (${why})`, { cause });
  }
  replaceFile(join(path, "config.json"), toJson(maskSecrets(run.config)));
  return openRunFolder(path);
}

/**
 * Opens a folder to go on with it. `afterStep` says where the run resumes: what was recorded of later steps
 * belongs to a life that ended without a checkpoint, and is cut off.
 */
export function openRunFolder(path: string, options: { afterStep?: number } = {}): RunFolder {
  const folder = resolve(path);
  const file = (...parts: string[]): string => join(folder, ...parts);
  if (!existsSync(file("config.json"))) {
    throw new CovoteError("not_found", `${folder} is no run folder: it holds no config.json`);
  }
  const metrics = file("metrics.jsonl");
  const records = readRecords(metrics, options.afterStep ?? Infinity);
  const fd = openSync(metrics, "a");
  ftruncateSync(fd, records.bytes);
  const kept = records.kept;
  let lastStep = kept.at(-1)?.step ?? -Infinity;
  let closed = false;

  return {
    path: folder,
    name: basename(folder),
    file,
    append: (record) => {
      if (record.step <= lastStep) return false;
      writeSync(fd, `${JSON.stringify(record)}\n`);
      fdatasyncSync(fd);
      lastStep = record.step;
      kept.push(record);
      return true;
    },
    records: () => kept,
    writeSamples: (samples) => replaceFile(file("samples.json"), toJson(samples)),
    writeSummary: (summary) => replaceFile(file("summary.json"), toJson(summary)),
    writeReport: async () => {
      const read = (name: string): unknown =>
        existsSync(file(name)) ? JSON.parse(readFileSync(file(name), "utf8")) : undefined;
      const summary = read("summary.json") as Summary | undefined;
      if (summary === undefined) {
        throw new CovoteError(
          "failed_precondition",
          `${folder} holds no summary.json yet: the run is not over`,
        );
      }
      const samples = (read("samples.json") as Samples | undefined) ?? { before: [], after: [] };
      // Loaded when needed: the plotting library is large, and most commands draw nothing.
      const { renderReport } = await import("./report.js");
      const html = renderReport({
        name: basename(folder),
        summary,
        records: kept,
        samples,
        config: read("config.json"),
      });
      replaceFile(file("report.html"), html);
    },
    close: () => {
      if (closed) return;
      closed = true;
      closeSync(fd);
    },
  };
}

/** Whether the run has measured or learned anything that is worth going on from. */
export function hasBegun(folder: Pick<RunFolder, "records" | "file">): boolean {
  return folder.records().length > 0 || existsSync(folder.file("before.json"));
}

/** Whole lines up to `afterStep`, and how many bytes they take. */
function readRecords(path: string, afterStep: number): { kept: StepRecord[]; bytes: number } {
  const kept: StepRecord[] = [];
  if (!existsSync(path)) return { kept, bytes: 0 };
  const text = readFileSync(path);
  let bytes = 0;
  for (let end = text.indexOf(10); end !== -1; end = text.indexOf(10, bytes)) {
    let record: StepRecord;
    try {
      record = JSON.parse(text.toString("utf8", bytes, end)) as StepRecord;
    } catch (cause) {
      const line = kept.length + 1;
      throw new CovoteError("failed_precondition", `${path}: line ${line} is no JSON; repair or remove it`, {
        cause,
      });
    }
    if (record.step > afterStep) break;
    kept.push(record);
    bytes = end + 1;
  }
  return { kept, bytes };
}

/** Written beside, synced, then renamed: a reader sees the old file or the new one, never a part. */
function replaceFile(path: string, text: string): void {
  const beside = `${path}.${process.pid}.tmp`;
  const fd = openSync(beside, "w");
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(beside, path);
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
