/**
 * Reads encoded messages as `BinaryReader` does, but makes nothing of a text on the way except the text: the one it
 * extends spells short texts out in an array, and needs a view of the bytes for long ones.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";

/** Text of bytes that are not all ASCII. */
export type DecodeText = (bytes: Uint8Array) => string;

const utf8 = new TextDecoder();
const replacing: DecodeText = (bytes) => utf8.decode(bytes);

export class TextReader extends BinaryReader {
  readonly #bytes: Buffer;
  readonly #decode: DecodeText;

  /** Default: what is not UTF-8 is replaced. */
  constructor(bytes: Uint8Array, decode: DecodeText = replacing) {
    super(bytes);
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#decode = decode;
  }

  override string(): string {
    const length = this.uint32();
    const start = this.pos;
    const end = start + length;
    if (end > this.len) throw new RangeError("premature EOF");
    this.pos = end;
    const bytes = this.#bytes;
    for (let i = start; i < end; i++) {
      if ((bytes[i] as number) > 0x7f) return this.#decode(bytes.subarray(start, end));
    }
    return bytes.toString("latin1", start, end);
  }
}
