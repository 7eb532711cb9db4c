import { expect, test } from "vitest";
import { createManualClock } from "../../lib/core/clock.js";
import { type Deferred, deferred } from "../../lib/core/deferred.js";
import { createBatcher } from "../../services/meta-rm/batcher.js";

interface Call {
  items: readonly number[];
  signal: AbortSignal;
  answer: Deferred<string[]>;
}

function setUp(limit = 3) {
  const clock = createManualClock(1000);
  const calls: Call[] = [];
  const batcher = createBatcher<number, string>(
    (items, signal) => {
      const answer = deferred<string[]>();
      calls.push({ items, signal, answer });
      return answer.promise;
    },
    { limit, clock },
  );
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const answer = async (call: number): Promise<void> => {
    calls[call]?.answer.resolve((calls[call]?.items ?? []).map((item) => `<${item}>`));
    await settle();
  };
  return { clock, calls, batcher, answer, settle };
}
const later = 10_000;

test("an idle engine is called at once; what comes meanwhile is joined, up to the limit", async () => {
  const { calls, batcher, answer } = setUp();
  const first = batcher.add([1], later);
  const rest = [batcher.add([2, 3], later), batcher.add([4, 5], later)];
  expect(calls.map((call) => call.items)).toEqual([[1]]);
  await answer(0);
  expect(await first).toEqual(["<1>"]);
  expect(calls[1]?.items).toEqual([2, 3, 4]);
  await answer(1);
  await answer(2);
  expect(calls[2]?.items).toEqual([5]);
  expect(await Promise.all(rest)).toEqual([
    ["<2>", "<3>"],
    ["<4>", "<5>"],
  ]);
});

test("a failing call fails those who wait for it, and the next one goes on", async () => {
  const { calls, batcher, answer, settle } = setUp();
  const first = batcher.add([1], later);
  const second = batcher.add([2], later);
  calls[0]?.answer.reject(new Error("engine is gone"));
  await expect(first).rejects.toThrow("engine is gone");
  await settle();
  await answer(1);
  expect(await second).toEqual(["<2>"]);
});

test("items that are too late take no room in a call", async () => {
  const { clock, calls, batcher, answer } = setUp();
  const first = batcher.add([1], later);
  const late = batcher.add([2, 3, 4], 1500);
  late.catch(() => undefined);
  const inTime = batcher.add([5], later);
  await clock.advance(1000);
  await answer(0);
  await first;
  await expect(late).rejects.toMatchObject({ code: "deadline_exceeded" });
  expect(calls[1]?.items).toEqual([5]);
  await answer(1);
  expect(await inTime).toEqual(["<5>"]);
});

test("a call that hangs ends at the last deadline of its items, and the next one is made", async () => {
  const { clock, calls, batcher, answer } = setUp();
  const hanging = batcher.add([1], 2000);
  const next = batcher.add([2], later);
  hanging.catch(() => undefined);
  await clock.advance(1500);
  await expect(hanging).rejects.toMatchObject({ code: "deadline_exceeded" });
  expect(calls[0]?.signal.aborted).toBe(true);
  expect(calls[1]?.items).toEqual([2]);
  await answer(1);
  expect(await next).toEqual(["<2>"]);
});

test("no items need no call", async () => {
  const { calls, batcher } = setUp();
  expect(await batcher.add([], later)).toEqual([]);
  expect(calls).toHaveLength(0);
});
