import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoffMs } from "../../lib/core/backoff.js";
import { createBoundedQueue } from "../../lib/core/bounded-queue.js";
import { createManualClock, systemClock } from "../../lib/core/clock.js";
import { deadlineAt, deadlineIn, withDeadline } from "../../lib/core/deadline.js";
import { createEventStream } from "../../lib/core/event-stream.js";
import { isId, newId, parseId } from "../../lib/core/ids.js";
import { createRandom } from "../../lib/core/random.js";

describe("manual clock", () => {
  test("calls what is due in order of time, and what that schedules", async () => {
    const clock = createManualClock(100);
    const calls: string[] = [];
    clock.after(20, () => calls.push(`b@${clock.now()}`));
    clock.after(10, () => {
      calls.push(`a@${clock.now()}`);
      clock.after(5, () => calls.push(`c@${clock.now()}`));
    });
    clock.every(15, () => calls.push(`e@${clock.now()}`));
    await clock.advance(30);
    expect(calls).toEqual(["a@110", "e@115", "c@115", "b@120", "e@130"]);
    expect(clock.now()).toBe(130);
    expect(clock.monotonic()).toBe(30);
  });

  test("a cancelled timer and an aborted sleep never come", async () => {
    const clock = createManualClock();
    let called = false;
    clock.after(10, () => (called = true)).cancel();
    const controller = new AbortController();
    const sleep = clock.sleep(10, { signal: controller.signal });
    controller.abort();
    await expect(sleep).rejects.toMatchObject({ code: "cancelled" });
    await clock.advance(20);
    expect(called).toBe(false);
    expect(clock.pending()).toBe(0);
  });

  test("the system clock sleeps and can be cancelled", async () => {
    const clock = systemClock();
    const startedAt = clock.monotonic();
    await clock.sleep(5);
    expect(clock.monotonic() - startedAt).toBeGreaterThanOrEqual(4);
    const controller = new AbortController();
    const sleep = clock.sleep(60_000, { signal: controller.signal });
    controller.abort();
    await expect(sleep).rejects.toMatchObject({ code: "cancelled" });
  });
});

describe("deadline", () => {
  test("shrinks, never grows, and is never negative", async () => {
    const clock = createManualClock(0);
    const deadline = deadlineIn(clock, 100);
    expect(deadline.capped(500).atMs).toBe(100);
    expect(deadline.capped(50).atMs).toBe(50);
    expect(deadline.reserving(30).remainingMs()).toBe(70);
    await clock.advance(150);
    expect(deadline.remainingMs()).toBe(0);
    expect(deadline.exceeded()).toBe(true);
  });

  test("withDeadline ends work that does not heed its signal", async () => {
    const clock = createManualClock();
    let signal: AbortSignal | undefined;
    const work = withDeadline(deadlineIn(clock, 10), { what: "slow", clock }, (own) => {
      signal = own.signal;
      return new Promise<never>(() => {});
    });
    const outcome = expect(work).rejects.toMatchObject({
      code: "deadline_exceeded",
      message: expect.stringContaining("slow"),
    });
    await clock.advance(10);
    await outcome;
    expect(signal?.aborted).toBe(true);
  });

  test("withDeadline gives the result and leaves no timer behind", async () => {
    const clock = createManualClock();
    expect(await withDeadline(deadlineIn(clock, 10), { what: "quick", clock }, async () => 7)).toBe(7);
    expect(clock.pending()).toBe(0);
    await expect(
      withDeadline(deadlineAt(clock, 0), { what: "late", clock }, async () => 7),
    ).rejects.toMatchObject({ code: "deadline_exceeded" });
  });
});

describe("bounded queue", () => {
  test("behaves like an array with a bound", () => {
    const command = fc.oneof(fc.nat(99), fc.constant("shift" as const), fc.constant("clear" as const));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(command), (capacity, commands) => {
        const queue = createBoundedQueue<number>(capacity);
        let model: number[] = [];
        for (const c of commands) {
          if (c === "shift") expect(queue.shift()).toBe(model.shift());
          else if (c === "clear") {
            expect(queue.clear()).toEqual(model);
            model = [];
          } else {
            expect(queue.push(c)).toBe(model.length < capacity);
            if (model.length < capacity) model.push(c);
          }
          expect(queue.size).toBe(model.length);
        }
      }),
    );
  });

  test("keeps its order over many more items than it holds", () => {
    const queue = createBoundedQueue<number>(3000);
    let next = 0;
    for (let i = 0; i < 10_000; i++) {
      queue.push(i);
      if (i % 3 !== 0) expect(queue.shift()).toBe(next++);
      if (queue.size === queue.capacity) while (queue.size > 0) expect(queue.shift()).toBe(next++);
    }
  });
});

describe("ids", () => {
  test("what is no id is refused with the name of the field", () => {
    for (const bad of ["", "a.b", "a b", "*", ">", "ä", "x".repeat(129), 7, null, undefined]) {
      expect(isId(bad)).toBe(false);
      expect(() => parseId("query.id", bad)).toThrow(/^query\.id: must be/);
    }
    expect(parseId("id", "Az0_-")).toBe("Az0_-");
  });

  test("fresh ids are ids, differ, and are reproducible with a seed", () => {
    const ids = Array.from({ length: 500 }, () => newId());
    expect(new Set(ids).size).toBe(500);
    expect(ids.every(isId)).toBe(true);
    expect(newId(createRandom(3))).toBe(newId(createRandom(3)));
  });
});

test("back-off grows to its bound, with at least half of each pause fixed", () => {
  const random = createRandom(1);
  const opts = { baseMs: 100, maxMs: 1000 };
  for (const [failures, ceiling] of [
    [1, 100],
    [2, 200],
    [4, 800],
    [5, 1000],
    [50, 1000],
  ] as const) {
    const pause = backoffMs(failures, opts, random);
    expect(pause).toBeGreaterThanOrEqual(ceiling / 2);
    expect(pause).toBeLessThanOrEqual(ceiling);
  }
});

test("event stream: a listener that throws is dropped, the others go on", () => {
  const stream = createEventStream<number>();
  const seen: number[] = [];
  let broken = 0;
  stream.subscribe(() => {
    broken++;
    throw new Error("broken listener");
  });
  const stop = stream.subscribe((n) => seen.push(n));
  stream.publish(1);
  stream.publish(2);
  stop();
  stream.publish(3);
  expect(seen).toEqual([1, 2]);
  expect(broken).toBe(1);
});
