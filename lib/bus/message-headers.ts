/**
 * Headers of a message that goes out, written as they are set: the client's own are a map of lists, searched four times
 * for each header.
 */
import type { MsgHdrs } from "@nats-io/transport-node";
import { invalid } from "../core/errors.js";

export class MessageHeaders {
  #text = "NATS/1.0\r\n";

  /** Each name once; without a value, or with an empty one, there is no header. */
  set(name: string, value: string | undefined): this {
    if (value === undefined || value === "") return this;
    if (/[\r\n]/.test(value)) throw invalid(name, "a header's value has no line breaks");
    this.#text += `${name}: ${value.trim()}\r\n`;
    return this;
  }

  encode(): Uint8Array {
    return Buffer.from(`${this.#text}\r\n`);
  }

  /** To the client, headers that go out are something that encodes itself. */
  forClient(): MsgHdrs {
    return this as unknown as MsgHdrs;
  }
}
