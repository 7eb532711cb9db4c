import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { createPullSource, type PullSource } from "../../lib/bus/pull-source.js";
import { systemClock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import { createRandom } from "../../lib/core/random.js";
import { startNats } from "../support/nats.js";

async function withConsumer(
  nc: NatsConnection,
  hooks: { received(subject: string): void; starved(source: PullSource): void },
): Promise<PullSource> {
  const jsm = await jetstreamManager(nc);
  await jsm.streams.add({ name: "s", subjects: ["s.*"], storage: "memory" });
  const source: PullSource = createPullSource({
    nc,
    clock: systemClock(),
    random: createRandom(1),
    stream: "s",
    consumer: "c",
    inboxPrefix: undefined,
    ensure: async () => {
      await jsm.consumers.add("s", { durable_name: "c", ack_policy: "explicit" });
    },
    received: (msg) => hooks.received(msg.subject),
    starved: () => hooks.starved(source),
    failed: (cause) => {
      throw cause;
    },
    expiresMs: 600,
  });
  return source;
}

test("an expired pull is counted out in full, so that the next one asks for all free slots again", async () => {
  await using nats = await startNats();
  const nc = await connect({ servers: nats.url });
  const expired = deferred<number>();
  const partly = deferred<void>();
  let starts = 0;
  const source = await withConsumer(nc, {
    received: () => partly.resolve(),
    starved: (s) => {
      starts++;
      if (starts === 1) {
        s.pull(5);
        nc.publish("s.x", "one of five");
      } else expired.resolve(s.outstanding());
    },
  });
  await partly.promise;
  expect(source.outstanding()).toBe(4);
  expect(await expired.promise).toBe(0);
  source.close();
  await nc.close();
});

test("drain: messages on their way still arrive, later ones do not", async () => {
  await using nats = await startNats();
  const nc = await connect({ servers: nats.url });
  const opened = deferred<void>();
  const subjects: string[] = [];
  const source = await withConsumer(nc, {
    received: (subject) => subjects.push(subject),
    starved: () => opened.resolve(),
  });
  await opened.promise;
  source.pull(10);
  for (let i = 0; i < 3; i++) nc.publish(`s.${i}`, "");
  await source.drain();
  nc.publish("s.late", "");
  await nc.flush();
  expect(subjects).not.toContain("s.late");
  await nc.close();
});
