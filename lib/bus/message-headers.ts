/**
 * Headers of a message that goes out, written once: the client's own are a map of lists, searched four times for each
 * header that is set.
 */
import type { MsgHdrs } from "@nats-io/transport-node";
import { invalid } from "../core/errors.js";

/** By name; a header whose value is undefined or empty is left out. */
export function messageHeaders(values: Readonly<Record<string, string | undefined>>): MsgHdrs {
  let text = "NATS/1.0\r\n";
  for (const name in values) {
    const value = values[name];
    if (value === undefined || value === "") continue;
    if (/[\r\n]/.test(value)) throw invalid(name, "a header's value has no line breaks");
    text += `${name}: ${value.trim()}\r\n`;
  }
  // To the client, headers that are sent are something that encodes itself.
  return new WrittenHeaders(`${text}\r\n`) as unknown as MsgHdrs;
}

class WrittenHeaders {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  encode(): Uint8Array {
    return Buffer.from(this.#text);
  }
}
