/**
 * Configuration, compiled: file, environment and flags → one frozen object, or one line that says what is wrong.
 *
 * - Later sources win: defaults < file < environment < overrides.
 * - An unknown key is refused with its path and the nearest known one; an impossible value with its field,
 *   what is allowed, what was given and where it came from. Nothing is guessed, nothing is ignored.
 * - Text from the environment and from flags becomes the type that the field has.
 */
import type { z } from "zod";
import { CovoteError } from "../core/errors.js";
import { type ConfigField, listFields } from "./config-fields.js";
import { type ConfigFile, readConfigFile } from "./config-file.js";
import { nearest } from "./nearest.js";

export interface ConfigSources {
  /** Path of a YAML or JSON file, as the user gave it. */
  file?: string;
  /** By dotted path: `{ "judging.votes": "8" }`; text is converted, `undefined` is no value. */
  overrides?: Readonly<Record<string, unknown>>;
  /** Variables `COVOTE_<SECTION>_<FIELD>`; others are not looked at. */
  env?: Readonly<Record<string, string | undefined>>;
}

export function compileConfig<S extends z.ZodType>(schema: S, sources: ConfigSources = {}): z.output<S> {
  const fields = listFields(schema);
  const file: ConfigFile = sources.file === undefined ? { values: {} } : readConfigFile(sources.file);
  const values = structuredClone(file.values);
  const origin = new Map<string, string>();
  for (const [path, value, from] of [
    ...environment(fields, sources.env),
    ...flags(fields, sources.overrides),
  ]) {
    setAt(values, path, value);
    origin.set(path, from);
  }
  const result = schema.safeParse(values);
  if (result.success) return deepFreeze(result.data);
  const problems = result.error.issues.flatMap((issue) => describeIssue(issue, values, fields));
  const [first, ...rest] = problems as [Problem, ...Problem[]];
  const from =
    origin.get(first.path) ??
    (valueAt(file.values, first.path.split(".")) === undefined ? undefined : sources.file);
  const where = from === undefined ? "" : ` (from ${from})`;
  const more = rest.length === 0 ? "" : `; also wrong: ${[...new Set(rest.map((p) => p.path))].join(", ")}`;
  throw new CovoteError("invalid_argument", `${first.path}: ${first.problem}${where}${more}`, {
    field: first.path,
  });
}

/** The name of the variable that sets a field: `judging.deadlineMs` → `COVOTE_JUDGING_DEADLINE_MS`. */
export function variableOf(path: string): string {
  const words = path.split(".").map((part) => part.replace(/([a-z0-9])([A-Z])/g, "$1_$2"));
  return `COVOTE_${words.join("_").toUpperCase()}`;
}

type Setting = [path: string, value: unknown, from: string];

function environment(fields: readonly ConfigField[], env: ConfigSources["env"] = {}): Setting[] {
  const byName = new Map(fields.map((field) => [variableOf(field.path), field]));
  const prefixes = [...new Set(fields.map((field) => `${variableOf(field.path.split(".")[0] ?? "")}_`))];
  const settings: Setting[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (text === undefined || !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    const field = byName.get(name);
    if (field === undefined) throw unknown(name, "variable", [...byName.keys()]);
    settings.push([field.path, convert(field, text), name]);
  }
  return settings;
}

function flags(fields: readonly ConfigField[], overrides: ConfigSources["overrides"] = {}): Setting[] {
  const byPath = new Map(fields.map((field) => [field.path, field]));
  const settings: Setting[] = [];
  for (const [path, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    const field = byPath.get(path);
    if (field === undefined) throw unknown(path, "key", [...byPath.keys()]);
    settings.push([path, typeof value === "string" ? convert(field, value) : value, "the command line"]);
  }
  return settings;
}

/** Text as the type of the field; text that is no such thing stays, so that the schema can say what is wrong. */
function convert(field: ConfigField, text: string): unknown {
  if (field.nullable && (text === "" || text === "null")) return null;
  if (field.type === "number" || field.type === "integer") {
    return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
  }
  if (field.type === "boolean") return text === "true" ? true : text === "false" ? false : text;
  if (field.type === "array") return text === "" ? [] : text.split(",").map((item) => item.trim());
  return text;
}

interface Problem {
  path: string;
  problem: string;
}

function describeIssue(issue: z.core.$ZodIssue, values: unknown, fields: readonly ConfigField[]): Problem[] {
  const path = issue.path.join(".");
  const given = shown(valueAt(values, issue.path));
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const full = path === "" ? key : `${path}.${key}`;
      return { path: full, problem: unknownText("key", full, knownKeys(fields)) };
    });
  }
  return [{ path: path === "" ? "config" : path, problem: allowed(issue, given) }];
}

function allowed(issue: z.core.$ZodIssue, given: string): string {
  switch (issue.code) {
    case "too_small": {
      if (issue.origin === "string" || issue.origin === "array") return `must not be empty, got ${given}`;
      return `must be ${issue.inclusive ? "at least" : "above"} ${issue.minimum}, got ${given}`;
    }
    case "too_big": {
      const unit = issue.origin === "string" ? " characters" : issue.origin === "array" ? " items" : "";
      return `must be ${issue.inclusive ? "at most" : "below"} ${issue.maximum}${unit}, got ${given}`;
    }
    case "invalid_type":
      return `must be ${article[issue.expected] ?? issue.expected}, got ${given}`;
    case "invalid_value":
      return `must be one of ${issue.values.map(String).join(", ")}; got ${given}`;
    case "custom":
    case "invalid_format":
      return issue.message;
    default:
      return `${issue.message}; got ${given}`;
  }
}

const article: Record<string, string> = {
  number: "a number",
  int: "a whole number",
  string: "text",
  boolean: "true or false",
  object: "a section with keys",
  array: "a list",
};

function knownKeys(fields: readonly ConfigField[]): string[] {
  const sections = fields
    .map((field) => field.path.split(".").slice(0, -1).join("."))
    .filter((path) => path !== "");
  return [...new Set([...fields.map((field) => field.path), ...sections])];
}

function unknown(name: string, what: string, known: readonly string[]): CovoteError {
  return new CovoteError("invalid_argument", `${name}: ${unknownText(what, name, known)}`, { field: name });
}

function unknownText(what: string, name: string, known: readonly string[]): string {
  const close = nearest(name, known);
  return close === undefined ? `unknown ${what}` : `unknown ${what}; did you mean ${close}?`;
}

function setAt(target: Record<string, unknown>, path: string, value: unknown): void {
  const parts = path.split(".");
  let at = target;
  for (const part of parts.slice(0, -1)) {
    const inner = at[part];
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) at[part] = {};
    at = at[part] as Record<string, unknown>;
  }
  at[parts.at(-1) as string] = value;
}

function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], values);
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
