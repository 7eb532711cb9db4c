/** How full the work queues are, as the server counts. */
import type { JetStreamManager } from "@nats-io/jetstream";
import type { QueueStatus } from "./bus.js";
import { fromNats, isMissing } from "./nats-errors.js";
import { queueNames } from "./queues.js";
import type { Subjects } from "./subjects.js";
import { deadLetterStreamName } from "./topology.js";

export async function readQueueStatus(jsm: JetStreamManager, subjects: Subjects): Promise<QueueStatus[]> {
  const letters = await countDeadLetters(jsm, subjects);
  return Promise.all(
    queueNames.map(async (queue) => {
      const stream = subjects.stream(queue);
      const counts = { pending: 0, inFlight: 0, redelivered: 0, stranded: 0 };
      const status = { queue, stream, ...counts, messages: 0, bytes: 0, maxMessages: 0, maxBytes: 0 };
      try {
        const { state, config } = await jsm.streams.info(stream);
        status.messages = state.messages;
        status.bytes = state.bytes;
        status.maxMessages = config.max_msgs;
        status.maxBytes = config.max_bytes;
        let known = 0;
        for await (const consumer of jsm.consumers.list(stream)) {
          status.inFlight += consumer.num_ack_pending;
          status.redelivered += consumer.num_redelivered;
          known += consumer.num_pending + consumer.num_ack_pending;
        }
        status.stranded = Math.max(0, state.messages - known);
        // Not the sum of the consumers' pending: a channel that nobody has worked on yet has no consumer.
        status.pending = Math.max(0, state.messages - status.inFlight);
      } catch (thrown) {
        if (!isMissing(thrown)) throw fromNats(`status of ${stream}`, thrown);
      }
      return { ...status, deadLetters: letters[subjects.deadLetters(queue)] ?? 0 };
    }),
  );
}

async function countDeadLetters(jsm: JetStreamManager, subjects: Subjects): Promise<Record<string, number>> {
  const stream = deadLetterStreamName(subjects);
  try {
    const info = await jsm.streams.info(stream, { subjects_filter: subjects.deadLetters() });
    return info.state.subjects ?? {};
  } catch (thrown) {
    if (isMissing(thrown)) return {};
    throw fromNats(`status of ${stream}`, thrown);
  }
}
