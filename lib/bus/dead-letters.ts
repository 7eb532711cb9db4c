/**
 * Dead letters: items that nobody could handle, kept with the reason for a person to look at.
 *
 * Two ways lead there: a work loop writes the letter itself when a handler fails for good; and the sweeper
 * fetches items whose last delivery ended without a word (the worker died), which the server would otherwise
 * keep in the work queue for ever. Both use the item's place in its stream as the letter's id, so an item
 * becomes at most one letter.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { createInbox, headers, type MsgHdrs, type NatsConnection, nanos } from "@nats-io/transport-node";
import type { Clock } from "../core/clock.js";
import type { EventStream } from "../core/event-stream.js";
import type { BusEvent } from "./bus.js";
import { traceparentHeader } from "./core-messages.js";
import { type JetStreamPublisher, messageIdHeader } from "./enqueue.js";
import { fromNats, isMissing, jsCode } from "./nats-errors.js";
import { type QueueName, queueNames } from "./queues.js";
import type { Subjects } from "./subjects.js";
import { deadLetterStreamName, exhaustedConsumerName, exhaustedStreamName } from "./topology.js";

export interface DeadLetter {
  readonly queue: QueueName;
  /** The id that the item was enqueued with. */
  readonly id: string;
  readonly subject: string;
  /** Place of the item in its stream. */
  readonly sequence: number;
  readonly deliveryCount: number;
  readonly traceparent?: string | undefined;
  readonly reason: string;
  readonly data: Uint8Array;
}

export interface DeadLetterWriter {
  /** Resolves when the letter is stored. */
  write(letter: DeadLetter): Promise<void>;
}

const header = {
  id: "Covote-Item-Id",
  queue: "Covote-Queue",
  reason: "Covote-Dead-Reason",
  subject: "Covote-Original-Subject",
  sequence: "Covote-Original-Sequence",
  deliveryCount: "Covote-Delivery-Count",
  failedAt: "Covote-Failed-At",
} as const;

export function createDeadLetterWriter(
  publisher: JetStreamPublisher,
  subjects: Subjects,
  clock: Clock,
  events: EventStream<BusEvent>,
): DeadLetterWriter {
  return {
    write: async (letter) => {
      const { queue, id, reason, deliveryCount } = letter;
      await publisher.publish("dead letter", subjects.deadLetters(queue), letter.data, {
        id: `${queue}:${letter.sequence}:${id}`.slice(0, 256),
        ...(letter.traceparent === undefined ? {} : { traceparent: letter.traceparent }),
        extraHeaders: {
          [header.id]: id,
          [header.queue]: queue,
          [header.reason]: printable(reason),
          [header.subject]: letter.subject,
          [header.sequence]: String(letter.sequence),
          [header.deliveryCount]: String(deliveryCount),
          [header.failedAt]: new Date(clock.now()).toISOString(),
        },
      });
      events.publish({ type: "dead-letter", queue, id, reason, deliveryCount });
    },
  };
}

/** The oldest letters first. */
export async function listDeadLetters(
  jsm: JetStreamManager,
  subjects: Subjects,
  opts: { queue?: QueueName; limit: number },
): Promise<DeadLetter[]> {
  const stream = deadLetterStreamName(subjects);
  const letters: DeadLetter[] = [];
  for (let seq = 1; letters.length < opts.limit; ) {
    const found = await getStored(jsm, stream, { seq, next_by_subj: subjects.deadLetters(opts.queue) });
    if (found === null) break;
    seq = found.seq + 1;
    const read = (name: string): string => found.header.get(name);
    const queue = queueNames.find((name) => name === read(header.queue));
    if (queue === undefined) continue;
    const traceparent = read(traceparentHeader);
    letters.push({
      queue,
      id: read(header.id),
      subject: read(header.subject),
      sequence: Number(read(header.sequence)),
      deliveryCount: Number(read(header.deliveryCount)),
      reason: read(header.reason),
      data: found.data,
      ...(traceparent === "" ? {} : { traceparent }),
    });
  }
  return letters;
}

export interface SweeperOptions {
  nc: NatsConnection;
  jsm: JetStreamManager;
  subjects: Subjects;
  clock: Clock;
  writer: DeadLetterWriter;
  inboxPrefix: string | undefined;
  failed(cause: unknown): void;
}

interface Advisory {
  stream: string;
  stream_seq: number;
  deliveries: number;
}

const pollMs = 1000;
const batch = 32;

/** Turns exhausted items into dead letters until closed; several processes may sweep at once. */
export function startSweeper(opts: SweeperOptions): { close(): void } {
  const { nc, jsm, subjects, clock, writer } = opts;
  const next = `$JS.API.CONSUMER.MSG.NEXT.${exhaustedStreamName(subjects)}.${exhaustedConsumerName}`;
  const request = new TextEncoder().encode(JSON.stringify({ batch, no_wait: true, expires: nanos(pollMs) }));
  const queueOf = new Map(queueNames.map((queue) => [subjects.stream(queue), queue]));
  const inbox = createInbox(opts.inboxPrefix);

  const sweep = async (advisory: Advisory): Promise<void> => {
    const queue = queueOf.get(advisory.stream);
    if (queue === undefined) return;
    const found = await getStored(jsm, advisory.stream, { seq: advisory.stream_seq });
    if (found === null) return;
    const traceparent = found.header.get(traceparentHeader);
    await writer.write({
      queue,
      id: found.header.get(messageIdHeader) || `${queue}-${advisory.stream_seq}`,
      subject: found.subject,
      sequence: advisory.stream_seq,
      deliveryCount: advisory.deliveries,
      reason: `delivered ${advisory.deliveries} times and never finished: its workers died or hung`,
      data: found.data,
      ...(traceparent === "" ? {} : { traceparent }),
    });
    await jsm.streams.deleteMessage(advisory.stream, advisory.stream_seq).catch((thrown: unknown) => {
      if (!isGone(thrown)) throw thrown;
    });
  };

  const sub = nc.subscribe(inbox, {
    callback: (error, msg) => {
      if (error) return opts.failed(error);
      // A status (nothing there), not an advisory.
      if (msg.subject === inbox) return;
      sweep(msg.json<Advisory>()).then(() => msg.respond(new TextEncoder().encode("+ACK")), opts.failed);
    },
  });
  // Rare and not urgent: a poll a second is simpler than a standing pull and as good.
  const timer = clock.every(pollMs, () => nc.isClosed() || nc.publish(next, request, { reply: inbox }), {
    background: true,
  });
  return {
    close: () => {
      timer.cancel();
      if (!nc.isClosed()) sub.unsubscribe();
    },
  };
}

interface Stored {
  readonly seq: number;
  readonly subject: string;
  readonly header: MsgHdrs;
  readonly data: Uint8Array;
}

async function getStored(
  jsm: JetStreamManager,
  stream: string,
  query: { seq: number; next_by_subj?: string },
): Promise<Stored | null> {
  try {
    const found = await jsm.streams.getMessage(stream, query);
    if (found === null) return null;
    return { seq: found.seq, subject: found.subject, header: found.header ?? headers(), data: found.data };
  } catch (thrown) {
    if (isGone(thrown)) return null;
    throw fromNats(`message ${query.seq} of ${stream}`, thrown);
  }
}

function isGone(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | null)?.code;
  return isMissing(thrown) || code === jsCode.noMessageFound || code === messageNotFoundOnDelete;
}

/** JSStreamMsgDeleteFailedF: the message was acknowledged or deleted in the meantime. */
const messageNotFoundOnDelete = 10057;

/** Header values are printable ASCII on one line. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 500);
}
