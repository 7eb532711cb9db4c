/**
 * A stage of the study: one `covote` command, run in a process of its own, whose result is a file or a folder.
 *
 * - A stage whose result is there and was made from the same is not run again: an interrupted study goes on where it
 *   was. The same: its arguments, the defaults that they leave open, and what its inputs hold. A result that was made
 *   from anything else is removed and made anew, and so is all that is made from it.
 * - What its key was and how long it took stands in `stages/` of the study's folder.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CovoteError } from "../../../lib/core/errors.js";

export interface Stage {
  /** What is done, for the display. */
  title: string;
  /** Arguments of `covote`. */
  args: readonly string[];
  /** What it reads: results of other stages, relative to the study's folder, or absolute paths. */
  inputs: readonly string[];
  /** Relative to the study's folder: what the command makes itself, or what its standard output becomes. */
  result: string;
  /** The command's standard output is the result. */
  capture: boolean;
  /** What else it leaves, and must not find when it is run anew. */
  leaves?: readonly string[];
  /** It is so cheap that it is made each time, which notices when the code behind it makes something else. */
  always?: boolean;
  /** What goes on with a command that was interrupted, once the file of this name is there. */
  resume?: { file: string; args: readonly string[] };
}

export interface StageOptions {
  /** The study's folder. */
  dir: string;
  /** What decides a stage's result beside its arguments and inputs: the defaults of its command, for example. */
  defaults: (args: readonly string[]) => unknown;
  signal: AbortSignal;
  say: (line: string) => void;
  /** Runs `covote`; resolves with its standard output. Default: as a process. */
  covote?: typeof runCovote;
}

interface StageRecord {
  key: string;
  title: string;
  /** Absent while it is not done. */
  seconds?: number;
}

/** Resolves to whether it was run now. */
export async function runStage(stage: Stage, options: StageOptions): Promise<boolean> {
  const { dir, covote = runCovote } = options;
  const result = join(dir, stage.result);
  const key = keyOf(stage, options);
  const known = readRecord(dir, stage);
  const isSame = known?.key === key;
  if (isSame && known.seconds !== undefined && existsSync(result) && stage.always !== true) return false;
  // What was begun with this key goes on; everything else is in the way.
  if (!isSame) {
    for (const path of [stage.result, ...(stage.leaves ?? [])]) {
      rmSync(join(dir, path), { recursive: true, force: true });
    }
    if (stage.resume !== undefined)
      rmSync(join(dir, dirname(stage.resume.file)), { recursive: true, force: true });
  }
  mkdirSync(dirname(result), { recursive: true });
  writeRecord(dir, stage, { key, title: stage.title });
  const startedMs = performance.now();
  const { resume } = stage;
  const args = resume !== undefined && existsSync(join(dir, resume.file)) ? resume.args : stage.args;
  const output = await covote({ ...stage, args }, options);
  if (stage.capture) {
    writeFileSync(`${result}.part`, output);
    renameSync(`${result}.part`, result);
  }
  writeRecord(dir, stage, { key, title: stage.title, seconds: (performance.now() - startedMs) / 1000 });
  return true;
}

/** Seconds that the stage took when it was run; null when nobody knows. */
export function secondsOf(stage: Stage, dir: string): number | null {
  return readRecord(dir, stage)?.seconds ?? null;
}

function keyOf(stage: Stage, { dir, defaults }: StageOptions): string {
  const contents = stage.inputs.map((input) => fingerprintOf(isAbsolute(input) ? input : join(dir, input)));
  return digest(JSON.stringify([stage.args, defaults(stage.args), contents]));
}

/** Of a checkpoint its weights, of any other folder and of a file all that it holds. */
function fingerprintOf(path: string): string {
  if (!existsSync(path))
    throw new CovoteError("internal", `${path} is not there; its stage comes before this one`);
  if (!statSync(path).isDirectory()) return digest(readFileSync(path));
  const weights = join(path, "model.safetensors");
  if (existsSync(weights)) return digest(readFileSync(weights));
  const files = readdirSync(path, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile());
  return digest(
    files
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
      .map((file) => digest(readFileSync(file)))
      .join(),
  );
}

function digest(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex").slice(0, 32);
}

function recordPath(dir: string, { result }: Stage): string {
  return join(dir, "stages", `${result.replace(/[^\w.-]/g, "_")}.json`);
}

function readRecord(dir: string, stage: Stage): StageRecord | null {
  const path = recordPath(dir, stage);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as StageRecord) : null;
}

function writeRecord(dir: string, stage: Stage, record: StageRecord): void {
  const path = recordPath(dir, stage);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.part`, JSON.stringify(record));
  renameSync(`${path}.part`, path);
}

/** Of this very compilation. */
const main = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "main.js");

function runCovote(
  { args, title, capture }: Stage,
  { dir, signal, say }: Pick<StageOptions, "dir" | "signal" | "say">,
): Promise<string> {
  const child = spawn(process.execPath, [...process.execArgv, main, ...args], {
    cwd: dir,
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGTERM",
  });
  let output = "";
  let lastError = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (capture) output += text;
    else for (const line of text.split("\n")) if (line.startsWith("step ")) say(line);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    for (const line of text.split("\n").filter((each) => each !== "")) {
      lastError = line;
      say(line);
    }
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(
        signal.aborted
          ? new CovoteError("cancelled", "stopped; the same command goes on from here", { cause })
          : new CovoteError("internal", `${title}: ${cause.message}`, { cause }),
      ),
    );
    child.once("close", (code) => {
      if (code === 0) resolve(output);
      else {
        const why = lastError.replace(/^covote: /, "");
        reject(new CovoteError("failed_precondition", `${title} failed (exit ${code}): ${why}`));
      }
    });
  });
}
