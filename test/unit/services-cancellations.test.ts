import { expect, test } from "vitest";
import { createCancellations } from "../../services/grm-worker/cancellations.js";

test("cancelling a judgment aborts its running votes and no others", () => {
  const cancellations = createCancellations();
  const own = [cancellations.watch("j", "v1"), cancellations.watch("j", "v2")];
  const other = cancellations.watch("k", "v1");
  cancellations.cancel("j", []);
  expect(own.map((vote) => vote.signal.aborted)).toEqual([true, true]);
  expect(other.signal.aborted).toBe(false);
});

test("cancelling one vote leaves the others of the judgment running", () => {
  const cancellations = createCancellations();
  const [a, b] = [cancellations.watch("j", "a"), cancellations.watch("j", "b")];
  cancellations.cancel("j", ["a"]);
  expect([a.signal.aborted, b.signal.aborted]).toEqual([true, false]);
});

test("a vote of the same name in another judgment is another vote", () => {
  const cancellations = createCancellations();
  cancellations.cancel("j", ["a"]);
  expect(cancellations.watch("k", "a").signal.aborted).toBe(false);
});

test("a cancel that came before its ballot is remembered, up to the capacity", () => {
  const cancellations = createCancellations(2);
  for (const judgment of ["j1", "j2", "j3"]) cancellations.cancel(judgment, []);
  expect(cancellations.watch("j1", "v").signal.aborted).toBe(false);
  expect(cancellations.watch("j2", "v").signal.aborted).toBe(true);
  expect(cancellations.watch("j3", "v").signal.aborted).toBe(true);
});

test("a vote that runs twice is cancelled twice, and the end of one does not hide the other", () => {
  const cancellations = createCancellations();
  const first = cancellations.watch("j", "v");
  const second = cancellations.watch("j", "v");
  first.release();
  cancellations.cancel("j", ["v"]);
  expect(second.signal.aborted).toBe(true);
});

test("nothing is kept of votes that have ended", () => {
  const cancellations = createCancellations();
  const votes = Array.from({ length: 100 }, (_, i) => cancellations.watch(`j${i % 10}`, `v${i}`));
  expect(cancellations.watched).toBe(10);
  for (const vote of votes) vote.release();
  expect(cancellations.watched).toBe(0);
});
