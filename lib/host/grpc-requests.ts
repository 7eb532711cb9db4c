/**
 * Requests as they come off the wire, strictly: bytes that are no such message, and text that is not UTF-8, fail
 * the call as INVALID_ARGUMENT with the field's name. By itself the decoder would answer INTERNAL to the one and
 * replace letters in the other.
 */
import type { BinaryReader } from "@bufbuild/protobuf/wire";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { CovoteError, invalid } from "../core/errors.js";
import { TextReader } from "../wire/text-reader.js";

/** Stands in the place of a request that could not be read. */
class MalformedRequest {
  readonly error: CovoteError;

  constructor(error: CovoteError) {
    this.error = error;
  }
}

/** The service with requests read strictly. Its handlers have to pass each request through `accepted`. */
export function readingStrictly(definition: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(definition).map(([name, method]) => {
    // Generated decoders take a reader as well as bytes.
    const decode = method.requestDeserialize as unknown as (reader: BinaryReader) => unknown;
    const requestDeserialize = (bytes: Buffer): object => readRequest(bytes, decode);
    return [name, { ...method, requestDeserialize }] as const;
  });
  return Object.fromEntries(methods);
}

/** The request, or the error of one that could not be read. */
export function accepted<Q>(request: Q): Q {
  if (request instanceof MalformedRequest) throw request.error;
  return request;
}

/** A lone surrogate: no UTF-8 decodes to it, so it marks the text that was broken. */
const mark = "\ud800";
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readRequest(bytes: Buffer, decode: (reader: BinaryReader) => unknown): object {
  let broken = false;
  const readText = (text: Uint8Array): string => {
    try {
      return strictUtf8.decode(text);
    } catch {
      broken = true;
      return mark;
    }
  };
  let request: unknown;
  try {
    request = decode(new TextReader(bytes, readText));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `request: ${bytes.length} bytes are no such message (${why}); send one of covote.v1`;
    return new MalformedRequest(new CovoteError("invalid_argument", message, { field: "request", cause }));
  }
  if (!broken) return request as object;
  return new MalformedRequest(invalid(findMark(request, "") ?? "request", "is not UTF-8; convert it first"));
}

/** Where the marked text is, as the contract writes it: `query.messages[0].content`. */
function findMark(value: unknown, path: string): string | undefined {
  if (value === mark) return path;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    if (key === mark) return path;
    const name = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const at = Array.isArray(value) ? `${path}[${key}]` : path === "" ? name : `${path}.${name}`;
    const found = findMark(inner, at);
    if (found !== undefined) return found;
  }
  return undefined;
}
