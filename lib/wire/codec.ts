/**
 * Messages of `proto/` as bytes, for the bus and for files.
 *
 * `decode` never lets a parser's own error out: bytes that are not such a message are an
 * `invalid_argument` that names the message type, so that a poison message can be told from a fault.
 */
import { CovoteError } from "../core/errors.js";

/** What the generated code offers for each message type. */
export interface MessageType<M> {
  encode(message: M): { finish(): Uint8Array };
  decode(bytes: Uint8Array): M;
}

export interface Codec<M> {
  /** The message type's name, for errors and logs. */
  readonly name: string;
  encode(message: M): Uint8Array;
  decode(bytes: Uint8Array): M;
}

export function createCodec<M>(name: string, type: MessageType<M>): Codec<M> {
  return {
    name,
    encode: (message) => type.encode(message).finish(),
    decode: (bytes) => {
      try {
        return type.decode(bytes);
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
