/**
 * A trained baseline as a folder: `baseline.json` says what it is, `checkpoint/` holds its model (and `critic/` the one
 * that writes critiques), `metrics.jsonl` and `summary.json` how it came to be.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { grammars } from "../../lib/grm/grammar.js";
import { type BaselineJob, baselineKinds, type GrammarName } from "./kinds.js";

export const describing = "baseline.json";

export interface BaselineFolder {
  path: string;
  kind: BaselineJob["kind"];
  grammar: GrammarName;
  checkpoint: string;
  /** Where critiques are written, for `semi-scalar`. */
  critic: string;
}

/** Throws `invalid_argument` that names the field for a folder of something else. */
export function openBaselineFolder(field: string, path: string): BaselineFolder {
  const folder = resolve(path);
  const file = join(folder, describing);
  if (!existsSync(file)) {
    const found = existsSync(join(folder, "config.json")) ? "a plain checkpoint" : "no baseline";
    throw invalid(field, `${path} is ${found}: it has no ${describing}; make one with covote spct baseline`);
  }
  let value: { kind?: unknown; grammar?: unknown };
  try {
    value = JSON.parse(readFileSync(file, "utf8")) as typeof value;
  } catch (cause) {
    throw new CovoteError("invalid_argument", `${field}: ${file} is not JSON; train the baseline anew`, {
      field,
      cause,
    });
  }
  const kind = baselineKinds.find((known) => known === value?.kind);
  if (kind === undefined) {
    throw invalid(field, `${file}: kind must be one of ${baselineKinds.join(", ")}`);
  }
  const grammar = Object.keys(grammars).find((known) => known === value.grammar);
  if (grammar === undefined)
    throw invalid(field, `${file}: grammar must be one of ${Object.keys(grammars).join(", ")}`);
  return {
    path: folder,
    kind,
    grammar: grammar as GrammarName,
    checkpoint: join(folder, "checkpoint"),
    critic: join(folder, "critic"),
  };
}

/** Throws `invalid_argument` when something is there. */
export function newBaselineFolder(path: string): string {
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
  throw invalid("--out", `${path} is there already and not empty; name a new folder`);
}
