/** Reads a configuration file, YAML or JSON, into plain values; whatever is wrong with it is one line. */
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { CovoteError } from "../core/errors.js";

export interface ConfigFile {
  values: Record<string, unknown>;
}

/** Far above any configuration, in bytes: a model passed by mistake must not be parsed. */
const maxBytes = 1024 * 1024;

export function readConfigFile(path: string): ConfigFile {
  const text = readUtf8(path);
  // JSON is YAML, so that one parser serves both.
  const document = parseDocument(text, { prettyErrors: false, logLevel: "silent" });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const line = text.slice(0, problem.pos[0]).split("\n").length;
    throw bad(
      path,
      `line ${line}: ${(problem.message.split("\n", 1)[0] as string).replace(/:$/, "")}`,
      problem,
    );
  }
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw bad(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (values === null || values === undefined) return { values: {} };
  if (typeof values !== "object" || Array.isArray(values)) {
    throw bad(path, "must hold sections such as `judging:`, not a single value or a list");
  }
  return { values: values as Record<string, unknown> };
}

function readUtf8(path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT" ? "no such file" : code === "EISDIR" ? "is a folder" : `cannot be read (${code})`;
    throw bad(path, why, cause);
  }
  if (bytes.length > maxBytes) throw bad(path, `must be at most ${maxBytes} bytes, has ${bytes.length}`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw bad(path, "must be UTF-8 text", cause);
  }
}

function bad(path: string, problem: string, cause?: unknown): CovoteError {
  const detail = cause === undefined ? { field: "--config" } : { field: "--config", cause };
  return new CovoteError("invalid_argument", `--config ${path}: ${problem}`, detail);
}
