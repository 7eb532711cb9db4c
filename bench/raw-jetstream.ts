/**
 * The yardstick: what JetStream itself does with equal messages, in the same process against the same server.
 *
 * One message = publish with an id that drops duplicates and the server's word that it has it, delivery to a
 * pull consumer, acknowledgement: what every ballot needs, and nothing else.
 * Publishing and consuming run at the same time, as they do in the cluster.
 */
import {
  AckPolicy,
  DiscardPolicy,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

export interface RawRun {
  messagesPerS: number;
  natsVersion: string;
}

const publishesInFlight = 256;
const prefetch = 500;
const stream = "bench_raw";
const subject = "bench.raw";
let runs = 0;

export async function measureRawJetStream(options: {
  url: string;
  messages: number;
  messageBytes: number;
}): Promise<RawRun> {
  const { url, messages, messageBytes } = options;
  const run = ++runs;
  await using publisher = await connection(url);
  await using worker = await connection(url);
  const jsm = await jetstreamManager(publisher.nc);
  await jsm.streams.add({
    name: stream,
    subjects: [subject],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.Memory,
    discard: DiscardPolicy.New,
    max_msgs: 100_000,
  });
  try {
    await jsm.consumers.add(stream, {
      durable_name: "worker",
      ack_policy: AckPolicy.Explicit,
      max_ack_pending: 4096,
    });
    const consumer = await jetstream(worker.nc).consumers.get(stream, "worker");
    const payload = new Uint8Array(messageBytes).fill(120);
    const js = jetstream(publisher.nc);
    let acknowledged = 0;
    const startedMs = performance.now();
    const all = new Promise<void>((resolve) => {
      void consumer.consume({
        max_messages: prefetch,
        callback: (msg) => {
          msg.ack();
          acknowledged += 1;
          if (acknowledged === messages) resolve();
        },
      });
    });
    let left = messages;
    const publishSome = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await js.publish(subject, payload, { msgID: `${run}-${left}` });
      }
    };
    await Promise.all(Array.from({ length: publishesInFlight }, publishSome));
    await all;
    await worker.nc.flush();
    const messagesPerS = (1000 * messages) / (performance.now() - startedMs);
    return { messagesPerS, natsVersion: publisher.nc.info?.version ?? "unknown" };
  } finally {
    await jsm.streams.delete(stream);
  }
}

async function connection(url: string) {
  const nc = await connect({ servers: url, noAsyncTraces: true });
  return { nc, [Symbol.asyncDispose]: () => nc.close() };
}
