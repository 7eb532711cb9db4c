/** One message into a stream, with the server's word that it is there. */
import type { MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { fromJetStream } from "./nats-errors.js";

/** What the server says of a message that it has stored. */
export interface StoredMessage {
  seq: number;
  duplicate: boolean;
}

interface Acknowledgement {
  seq?: number;
  duplicate?: boolean;
  error?: { code: number; err_code: number; description: string };
}

const decoder = new TextDecoder();

/**
 * Throws what the server answers instead as a CovoteError with `what` in its message (`failed_precondition` where another
 * sequence was expected), and what the client throws as it is.
 */
export async function publishAcknowledged(
  nc: Pick<NatsConnection, "request">,
  what: string,
  subject: string,
  data: Uint8Array,
  options: { headers: MsgHdrs; timeout: number },
): Promise<StoredMessage> {
  const answer = await nc.request(subject, data, options);
  const { error, seq = 0, duplicate = false } = JSON.parse(decoder.decode(answer.data)) as Acknowledgement;
  if (error !== undefined) throw fromJetStream(what, error.err_code, error.description);
  return { seq, duplicate };
}
