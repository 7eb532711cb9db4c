import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { Experience } from "../../lib/wire/gen/covote/v1/policy.js";
import { createInbox } from "../../services/grpo-learner/inbox.js";

const experience = (judgmentId: string): Experience => Experience.fromPartial({ judgmentId });
const live = (): AbortSignal => new AbortController().signal;
const never = (): boolean => false;

/** Whether the promise has settled once everything that is ready has run. */
async function settled(promise: Promise<unknown>): Promise<"resolved" | "rejected" | "pending"> {
  let state: "resolved" | "rejected" | "pending" = "pending";
  promise.then(
    () => (state = "resolved"),
    () => (state = "rejected"),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return state;
}

test("take waits for all groups of the step and gives them in the step's order", async () => {
  const inbox = createInbox();
  const taking = inbox.take(["a", "b"], never, live());
  void inbox.put("b", experience("jb"), live());
  expect(await settled(taking)).toBe("pending");
  void inbox.put("c", experience("jc"), live());
  void inbox.put("a", experience("ja"), live());
  expect((await taking).map(([id, e]) => [id, e.judgmentId])).toEqual([
    ["a", "ja"],
    ["b", "jb"],
  ]);
  expect(inbox.holds("c")).toBe(true);
});

test("a group that has ended without coming is not waited for", async () => {
  const inbox = createInbox();
  const ended = new Set<string>();
  const taking = inbox.take(["a", "b"], (id) => ended.has(id), live());
  void inbox.put("a", experience("ja"), live());
  expect(await settled(taking)).toBe("pending");
  ended.add("b");
  inbox.wake();
  expect((await taking).map(([id]) => id)).toEqual(["a"]);
});

test("a delivery is open until its group is settled, and a repeated one joins it", async () => {
  const inbox = createInbox();
  const first = inbox.put("a", experience("ja"), live());
  const again = inbox.put("a", experience("other"), live());
  const [[, taken]] = (await inbox.take(["a"], never, live())) as [[string, Experience]];
  expect(taken.judgmentId).toBe("ja");
  expect(await settled(first)).toBe("pending");
  expect(inbox.holds("a")).toBe(true);
  inbox.settle(["a"]);
  expect(await settled(first)).toBe("resolved");
  expect(await settled(again)).toBe("resolved");
  expect(inbox.holds("a")).toBe(false);
});

test("a delivery that is lost is not acknowledged, but its group stays and is taken once", async () => {
  const inbox = createInbox();
  const losing = new AbortController();
  const lost = inbox.put("a", experience("ja"), losing.signal);
  losing.abort(new Error("given to somebody else"));
  await expect(lost).rejects.toThrow("given to somebody else");
  const again = inbox.put("a", experience("ja"), live());
  expect(await inbox.take(["a"], never, live())).toHaveLength(1);
  inbox.settle(["a"]);
  expect(await settled(again)).toBe("resolved");
});

test("a delivery whose signal is aborted already is rejected at once", async () => {
  const inbox = createInbox();
  await expect(inbox.put("a", experience("ja"), AbortSignal.abort(new Error("late")))).rejects.toThrow(
    "late",
  );
  expect(inbox.holds("a")).toBe(true);
});

test("take ends with its signal", async () => {
  const inbox = createInbox();
  const stopping = new AbortController();
  const taking = inbox.take(["a"], never, stopping.signal);
  stopping.abort(new Error("stopping"));
  await expect(taking).rejects.toThrow("stopping");
  await expect(inbox.take(["a"], never, stopping.signal)).rejects.toThrow("stopping");
});

test("whatever the order and however often they come, each group is taken once and every delivery ends", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.nat(), async (groups, seed) => {
      const random = createRandom(seed);
      const inbox = createInbox();
      const ids = Array.from({ length: groups }, (_, i) => `g${i}`);
      const deliveries = random.shuffle([...ids, ...ids, random.pick(ids)]);
      const puts = deliveries.map((id) => inbox.put(id, experience(id), live()));
      const taken = await inbox.take(ids, never, live());
      expect(taken.map(([id]) => id)).toEqual(ids);
      inbox.settle(ids);
      await Promise.all(puts);
      expect(ids.some((id) => inbox.holds(id))).toBe(false);
    }),
    { numRuns: 50 },
  );
});
