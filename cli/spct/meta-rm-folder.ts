/**
 * The folder of a meta RM in the making: `job.json` (what was asked for), `trajectories.jsonl` and `held-out.jsonl`
 * (collected judgments), `state/` and `metrics.jsonl` (training), and at the end `checkpoint/`, `summary.json` and
 * `report.html`. Whoever was interrupted goes on from it.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CovoteError, invalid } from "../../lib/core/errors.js";

/** What decides the outcome; kept as JSON. */
export interface MetaRmJob {
  data: string;
  heldOut: string | null;
  /** Of the data files, so that a job does not go on with other data; null for the demo world's. */
  digests: { data: string | null; heldOut: string | null; trajectories: string | null };
  trajectories: string | null;
  /** Checkpoint folders. */
  grm: string;
  base: string;
  items: number;
  heldOutItems: number;
  samples: number;
  votes: number;
  temperature: number;
  panelLimit: number;
  extraLayers: number;
  steps: number;
  batch: number;
  learningRate: number;
  /** What a point of the peers' scores adds to a target's logit; 0: labels alone. */
  peers: number;
  /** Weight of what is learned on the way to the targets, token by token; 0: nothing. */
  readings: number;
  seed: number;
  grammar: string;
}

export interface MetaRmFolder {
  /** Absolute. */
  readonly path: string;
  readonly job: MetaRmJob;
  file(name: string): string;
  write(name: string, text: string): void;
  /** Removes a new folder in which nothing was collected. */
  close(): void;
}

/** Throws `invalid_argument` when something is there. */
export function checkNewFolder(path: string): string {
  const folder = resolve(path);
  let there: string[];
  try {
    there = existsSync(folder) ? readdirSync(folder) : [];
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new CovoteError("invalid_argument", `--out: ${path} cannot be read (${why})`, {
      field: "--out",
      cause,
    });
  }
  if (there.length === 0) return folder;
  const hint = there.includes("job.json") ? `; go on with --resume ${path}` : "; name a new folder";
  throw invalid("--out", `${path} is there already and not empty${hint}`);
}

export function createMetaRmFolder(path: string, job: MetaRmJob): MetaRmFolder {
  try {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "job.json"), `${JSON.stringify(job, null, 2)}\n`);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new CovoteError("invalid_argument", `--out: cannot create ${path} (${why})`, {
      field: "--out",
      cause,
    });
  }
  return folderAt(path, job);
}

/** Throws `invalid_argument` for a folder of something else, and when the data has changed. */
export function openMetaRmFolder(path: string): MetaRmFolder {
  const folder = resolve(path);
  const file = join(folder, "job.json");
  if (!existsSync(file))
    throw invalid("--resume", `${path} is no folder of covote spct meta-rm: it has no job.json`);
  let job: MetaRmJob;
  try {
    job = JSON.parse(readFileSync(file, "utf8")) as MetaRmJob;
    for (const name of ["data", "heldOut", "trajectories"] as const) {
      const source = job[name];
      if (job.digests[name] === (source === null ? null : digestOf(source))) continue;
      throw invalid("--resume", `${source} is not what it was when ${path} was begun; start anew with --out`);
    }
  } catch (cause) {
    if (cause instanceof CovoteError) throw cause;
    throw new CovoteError("invalid_argument", `--resume: ${file} is damaged; start anew with --out`, {
      cause,
    });
  }
  return folderAt(folder, job);
}

/** Of a file's bytes; null for what is no file, such as the demo world's name. */
export function digestOf(path: string): string | null {
  return existsSync(path) ? createHash("sha256").update(readFileSync(path)).digest("hex") : null;
}

function folderAt(path: string, job: MetaRmJob): MetaRmFolder {
  const file = (name: string): string => join(path, name);
  return {
    path,
    job,
    file,
    write: (name, text) => {
      writeFileSync(`${file(name)}.new`, text);
      renameSync(`${file(name)}.new`, file(name));
    },
    close: () => {
      const begun = ["trajectories.jsonl", "held-out.jsonl"].some((name) => {
        const kept = file(name);
        return existsSync(kept) && readFileSync(kept).length > 0;
      });
      if (!begun) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
