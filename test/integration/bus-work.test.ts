import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { WorkItem } from "../../lib/bus/bus.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import { bytes, freshCluster, nextEvent, startNats, type TestNats, text } from "../support/nats.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

/** Resolves once `count` calls were made; gives what they were called with. */
function collect(count: number): { items: string[]; add: (item: string) => void; all: Promise<string[]> } {
  const items: string[] = [];
  const all = deferred<string[]>();
  return {
    items,
    add: (item) => {
      items.push(item);
      if (items.length === count) all.resolve(items);
    },
    all: all.promise,
  };
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `item-${i}`);

describe("work queue", () => {
  test("every item is handled once, by any of several workers, with its id, data and trace", async () => {
    const cluster = freshCluster();
    const [a, b] = [await nats.bus({ cluster }), await nats.bus({ cluster })];
    const seen = collect(200);
    const traces = new Set<string | undefined>();
    const handle = async (item: WorkItem): Promise<void> => {
      expect(text(item.data)).toBe(`data of ${item.id}`);
      expect(item.deliveryCount).toBe(1);
      traces.add(item.traceparent);
      seen.add(item.id);
    };
    a.work("rollouts", { concurrency: 3 }, handle);
    b.work("rollouts", { concurrency: 3 }, handle);
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    for (const id of ids(200)) await a.enqueue("rollouts", bytes(`data of ${id}`), { id, traceparent });
    expect([...(await seen.all)].sort()).toEqual([...ids(200)].sort());
    expect([...traces]).toEqual([traceparent]);
    await b.flush();
    await a.flush();
    const status = (await a.queueStatus()).find((s) => s.queue === "rollouts");
    expect(status).toMatchObject({ pending: 0, inFlight: 0, redelivered: 0, deadLetters: 0 });
  });

  test("an item knows when it was queued; one in a channel that nobody works on is stranded", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    const beforeMs = Date.now();
    await bus.enqueue("experience", bytes("x"), { id: "left", subjectToken: "ended-run" });
    const status = (await bus.queueStatus()).find((s) => s.queue === "experience");
    expect(status).toMatchObject({ messages: 1, pending: 1, inFlight: 0, stranded: 1 });
    expect(status?.bytes).toBeGreaterThan(0);
    expect(status?.maxMessages).toBe(10_000);
    const taken = deferred<number>();
    bus.work("experience", { concurrency: 1, subjectToken: "ended-run" }, async (item) =>
      taken.resolve(item.enqueuedAtMs),
    );
    const queuedAtMs = await taken.promise;
    expect(queuedAtMs).toBeGreaterThan(beforeMs - 50);
    expect(queuedAtMs).toBeLessThanOrEqual(Date.now() + 50);
  });

  test("the same id is queued once", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    expect(await bus.enqueue("prompts", bytes("x"), { id: "same" })).toEqual({ duplicate: false });
    expect(await bus.enqueue("prompts", bytes("x"), { id: "same" })).toEqual({ duplicate: true });
    const status = (await bus.queueStatus()).find((s) => s.queue === "prompts");
    expect(status?.pending).toBe(1);
  });

  test("no more items are fetched than there are free slots, so an idle worker gets the next one", async () => {
    const cluster = freshCluster();
    const bus = await nats.bus({ cluster });
    const gate = deferred<void>();
    const busy = collect(2);
    bus.work("rollouts", { concurrency: 2 }, async (item) => {
      busy.add(item.id);
      await gate.promise;
    });
    for (const id of ids(2)) await bus.enqueue("rollouts", bytes(""), { id });
    await busy.all;
    await bus.enqueue("rollouts", bytes(""), { id: "for-the-other" });
    const other = collect(1);
    bus.work("rollouts", { concurrency: 1 }, async (item) => other.add(item.id));
    expect(await other.all).toEqual(["for-the-other"]);
    gate.resolve();
  });

  test("resize: more slots take up more items at once", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    const gate = deferred<void>();
    const started = collect(3);
    const first = deferred<void>();
    const loop = bus.work("rollouts", { concurrency: 1 }, async (item) => {
      started.add(item.id);
      first.resolve();
      await gate.promise;
    });
    for (const id of ids(3)) await bus.enqueue("rollouts", bytes(""), { id });
    await first.promise;
    expect(loop.inFlight()).toBe(1);
    loop.resize(3);
    await started.all;
    expect(loop.inFlight()).toBe(3);
    gate.resolve();
  });

  test("working() keeps an item that takes longer than the ack-wait", async () => {
    const bus = await nats.bus({ cluster: freshCluster(), queues: { rollouts: { ackWaitMs: 900 } } });
    const server = await connect({ servers: nats.url });
    // Three beats to an ack-wait: after seven of them more than two ack-waits have passed.
    const beats = collect(7);
    server.subscribe(`$JS.ACK.${bus.subjects.stream("rollouts")}.>`, {
      callback: (_error, msg) => beats.add(msg.string()),
    });
    await server.flush();
    const gate = deferred<void>();
    const seen = collect(1);
    const acknowledged = deferred<void>();
    bus.work("rollouts", { concurrency: 4, ackAck: true }, async (item) => {
      seen.add(`${item.id} ${item.deliveryCount}`);
      await gate.promise;
      acknowledged.resolve();
    });
    await bus.enqueue("rollouts", bytes(""), { id: "long" });
    await seen.all;
    // If the beats did not count it would be handled again by then, since there are free slots.
    expect(new Set(await beats.all)).toEqual(new Set(["+WPI"]));
    await server.close();
    gate.resolve();
    await acknowledged.promise;
    expect(seen.items).toEqual(["long 1"]);
  });

  test("a retryable failure is delivered again after a pause", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    const done = deferred<number>();
    bus.work("rollouts", { concurrency: 1 }, async (item) => {
      if (item.deliveryCount < 3) throw new CovoteError("unavailable", "not yet");
      done.resolve(item.deliveryCount);
    });
    await bus.enqueue("rollouts", bytes(""), { id: "again" });
    expect(await done.promise).toBe(3);
    expect(await bus.deadLetters({ limit: 10 })).toEqual([]);
  });

  test("an error that no retry will cure makes a dead letter at once, with its reason", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    const buried = nextEvent(bus, "dead-letter");
    bus.work("rollouts", { concurrency: 1 }, async () => {
      throw new CovoteError("invalid_argument", "query: missing");
    });
    await bus.enqueue("rollouts", bytes("poison"), { id: "bad" });
    expect(await buried).toMatchObject({ queue: "rollouts", id: "bad", deliveryCount: 1 });
    const [letter] = await bus.deadLetters({ queue: "rollouts", limit: 10 });
    expect(letter).toMatchObject({ id: "bad", reason: "query: missing" });
    expect(text(letter?.data ?? bytes(""))).toBe("poison");
    await bus.flush();
    const status = (await bus.queueStatus()).find((s) => s.queue === "rollouts");
    expect(status).toMatchObject({ pending: 0, inFlight: 0, deadLetters: 1 });
  });

  test("poison: an item that fails every time reaches the dead letters after its last delivery", async () => {
    const bus = await nats.bus({ cluster: freshCluster(), queues: { rollouts: { maxDeliver: 3 } } });
    let handled = 0;
    bus.work("rollouts", { concurrency: 1 }, async () => {
      handled++;
      throw new CovoteError("unavailable", "still down");
    });
    const buried = nextEvent(bus, "dead-letter");
    await bus.enqueue("rollouts", bytes("poison"), { id: "bad" });
    expect((await buried).reason).toBe("delivered 3 times, at last: still down");
    expect(handled).toBe(3);
  });

  test("an item whose worker dies at the last delivery is swept into the dead letters", async () => {
    const cluster = freshCluster();
    const queues = { rollouts: { maxDeliver: 1, ackWaitMs: 200 } };
    const owner = await nats.bus({ cluster, queues });
    const victim = await nats.bus({ cluster, queues, topology: "use" });
    const taken = deferred<void>();
    victim.work("rollouts", { concurrency: 1 }, async () => {
      taken.resolve();
      // Dies without a word: the connection is cut below.
      await new Promise(() => {});
    });
    const buried = nextEvent(owner, "dead-letter");
    await owner.enqueue("rollouts", bytes("x"), { id: "orphan" });
    await taken.promise;
    await victim.close();
    // The server notices when it would deliver the item once more: to a worker that asks.
    owner.work("rollouts", { concurrency: 1 }, async () => {});
    expect(await buried).toMatchObject({ id: "orphan", queue: "rollouts" });
    const status = (await owner.queueStatus()).find((s) => s.queue === "rollouts");
    expect(status).toMatchObject({ deadLetters: 1 });
  });

  test("a full queue refuses with overloaded and a time to come back", async () => {
    const bus = await nats.bus({ cluster: freshCluster(), queues: { rollouts: { maxMessages: 2 } } });
    for (const id of ids(2)) await bus.enqueue("rollouts", bytes(""), { id });
    const refusal = bus.enqueue("rollouts", bytes(""), { id: "one-too-many" });
    await expect(refusal).rejects.toMatchObject({ code: "overloaded", retryAfterMs: expect.any(Number) });
  });

  test("drain finishes what is accepted, takes nothing new, and gives the rest to others", async () => {
    const cluster = freshCluster();
    const bus = await nats.bus({ cluster });
    const gate = deferred<void>();
    const accepted = collect(2);
    const finished: string[] = [];
    const loop = bus.work("rollouts", { concurrency: 2 }, async (item) => {
      accepted.add(item.id);
      await gate.promise;
      finished.push(item.id);
    });
    for (const id of ids(5)) await bus.enqueue("rollouts", bytes(""), { id });
    await accepted.all;
    const drained = loop.drain(10_000);
    gate.resolve();
    await drained;
    expect(finished.sort()).toEqual([...accepted.items].sort());
    const others = collect(3);
    bus.work("rollouts", { concurrency: 8 }, async (item) => others.add(item.id));
    expect([...finished, ...(await others.all)].sort()).toEqual(ids(5));
  });

  test("stop aborts the handlers and gives their items back at once", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    const taken = deferred<void>();
    const aborted = deferred<void>();
    const loop = bus.work("rollouts", { concurrency: 1 }, async (item) => {
      item.signal.addEventListener("abort", () => aborted.resolve());
      taken.resolve();
      await new Promise(() => {});
    });
    await bus.enqueue("rollouts", bytes(""), { id: "given-back" });
    await taken.promise;
    await loop.stop();
    await aborted.promise;
    const again = deferred<number>();
    bus.work("rollouts", { concurrency: 1 }, async (item) => again.resolve(item.deliveryCount));
    expect(await again.promise).toBe(2);
  });

  test("drain with a deadline stops handlers that do not finish", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    const taken = deferred<void>();
    const loop = bus.work("rollouts", { concurrency: 1 }, async () => {
      taken.resolve();
      await new Promise(() => {});
    });
    await bus.enqueue("rollouts", bytes(""), { id: "stuck" });
    await taken.promise;
    await loop.drain(50);
    await loop.closed;
  });

  test("ballots: hi goes before lo, and lo is not starved", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    const hi = Array.from({ length: 60 }, (_, i) => `hi-${i}`);
    const lo = Array.from({ length: 20 }, (_, i) => `lo-${i}`);
    for (const id of lo) await bus.enqueue("ballots", bytes(""), { id, subjectToken: "lo" });
    for (const id of hi) await bus.enqueue("ballots", bytes(""), { id, subjectToken: "hi" });
    const seen = collect(80);
    bus.work("ballots", { concurrency: 1 }, async (item) => {
      seen.add(item.id);
      await new Promise((resolve) => setImmediate(resolve));
    });
    const order = await seen.all;
    const early = order.slice(0, 60);
    expect(early.filter((id) => id.startsWith("hi")).length).toBeGreaterThan(40);
    expect(early.filter((id) => id.startsWith("lo")).length).toBeGreaterThan(4);
  });

  test("experience of one learner does not reach another, and waits for its own", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    await bus.enqueue("experience", bytes(""), { id: "1", subjectToken: "run-a" });
    await bus.enqueue("experience", bytes(""), { id: "2", subjectToken: "run-b" });
    const b = deferred<string>();
    bus.work("experience", { concurrency: 1, subjectToken: "run-b" }, async (item) => b.resolve(item.id));
    expect(await b.promise).toBe("2");
    const a = deferred<string>();
    bus.work("experience", { concurrency: 1, subjectToken: "run-a" }, async (item) => a.resolve(item.id));
    expect(await a.promise).toBe("1");
    await expect(bus.enqueue("experience", bytes(""), { id: "3" })).rejects.toMatchObject({
      code: "invalid_argument",
    });
  });

  test("two clusters on one server do not see each other", async () => {
    const [a, b] = [await nats.bus({ cluster: freshCluster() }), await nats.bus({ cluster: freshCluster() })];
    await a.enqueue("prompts", bytes(""), { id: "of-a" });
    expect((await b.queueStatus()).find((s) => s.queue === "prompts")?.pending).toBe(0);
  });

  test("ids and channels that would change the subject are refused", async () => {
    const bus = await nats.bus({ cluster: freshCluster() });
    await expect(bus.enqueue("prompts", bytes(""), { id: "a\r\nb" })).rejects.toMatchObject({
      code: "invalid_argument",
    });
    await expect(
      bus.enqueue("experience", bytes(""), { id: "x", subjectToken: "a.b" }),
    ).rejects.toMatchObject({ code: "invalid_argument" });
    expect(() => bus.subjects.votes("a.>")).toThrow(/votes.owner/);
    await expect(nats.bus({ cluster: "a.b" })).rejects.toMatchObject({ code: "invalid_argument" });
  });
});
