/**
 * Messages of `proto/` as bytes, for the bus and for files.
 *
 * `decode` never lets a parser's own error out: bytes that are not such a message are an
 * `invalid_argument` that names the message type, so that a poison message can be told from a fault.
 */
import { type BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { CovoteError } from "../core/errors.js";
import { TextReader } from "./text-reader.js";

/** What the generated code offers for each message type. */
export interface MessageType<M> {
  encode(message: M, writer?: BinaryWriter): { finish(): Uint8Array };
  decode(reader: BinaryReader): M;
}

export interface Codec<M> {
  /** The message type's name, for errors and logs. */
  readonly name: string;
  encode(message: M): Uint8Array;
  decode(bytes: Uint8Array): M;
}

/** A writer whose buffer has grown beyond this is not kept, in bytes. */
const keptBytes = 65_536;

export function createCodec<M>(name: string, type: MessageType<M>): Codec<M> {
  // Kept for the next message: a fresh one grows to the message's size by doubling and copying.
  let writer = new BinaryWriter();
  return {
    name,
    encode: (message) => {
      try {
        const bytes = type.encode(message, writer).finish();
        if (bytes.length > keptBytes) writer = new BinaryWriter();
        return bytes;
      } catch (cause) {
        // The message does not fit its type: what is half written goes with this writer.
        writer = new BinaryWriter();
        throw cause;
      }
    },
    decode: (bytes) => {
      try {
        return type.decode(new TextReader(bytes));
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new CovoteError("invalid_argument", `not a ${name}: ${bytes.length} bytes, ${why}`, {
          field: name,
          cause,
        });
      }
    },
  };
}
