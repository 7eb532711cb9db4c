/**
 * Ids: one to 128 characters of `[A-Za-z0-9_-]`, so that an id is safe as a token of a NATS subject, as a
 * file name, as a metric label and in a URL. Nothing that a user wrote gets into those without `parseId`.
 */
import { randomBytes } from "node:crypto";
import { invalid } from "./errors.js";
import type { Random } from "./random.js";

export const maxIdLength = 128;

const pattern = /^[A-Za-z0-9_-]{1,128}$/;
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const newIdLength = 16;

export function isId(value: unknown): value is string {
  return typeof value === "string" && pattern.test(value);
}

/** The id, or `invalid_argument` that names the field. */
export function parseId(field: string, value: unknown): string {
  if (isId(value)) return value;
  throw invalid(field, `must be 1 to ${maxIdLength} characters of A-Z a-z 0-9 _ -, got ${shown(value)}`);
}

/**
 * A fresh id of 16 characters (95 bits). With a `Random` it is reproducible, for tests and seeded runs;
 * without one it comes from the operating system.
 */
export function newId(random?: Random): string {
  let id = "";
  if (random !== undefined) {
    for (let i = 0; i < newIdLength; i++) id += alphabet[random.below(alphabet.length)];
    return id;
  }
  while (id.length < newIdLength) {
    for (const byte of randomBytes(newIdLength * 2)) {
      // 248 is the largest multiple of 62 below 256: what lies above would favour the first letters.
      if (byte < 248 && id.length < newIdLength) id += alphabet[byte % alphabet.length];
    }
  }
  return id;
}

function shown(value: unknown): string {
  if (typeof value !== "string") return value === null ? "null" : typeof value;
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
}
