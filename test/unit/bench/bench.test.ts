import { expect, test } from "vitest";
import { figure, renderResult } from "../../../bench/bench.js";
import { closedLoop, createLatencies, openLoop } from "../../../bench/load.js";
import { runBenches } from "../../../bench/main.js";
import { deferred } from "../../../lib/core/deferred.js";
import { createRandom } from "../../../lib/core/random.js";

test("a closed loop keeps exactly so many calls in flight, and makes all of them", async () => {
  let running = 0;
  let most = 0;
  const seen: number[] = [];
  await closedLoop({ inFlight: 3, count: 20 }, async (index) => {
    running += 1;
    most = Math.max(most, running);
    seen.push(index);
    await Promise.resolve();
    running -= 1;
  });
  expect(most).toBe(3);
  expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

test("an open loop does not wait for answers: a cluster that stalls gets its calls all the same", async () => {
  const all = deferred<void>();
  const dues: number[] = [];
  await openLoop({ perS: 5000, count: 30, random: createRandom(1) }, async (index, dueMs) => {
    expect(dueMs).toBeLessThanOrEqual(performance.now());
    dues.push(dueMs);
    if (index === 29) all.resolve();
    await all.promise;
  });
  expect(dues.length).toBe(30);
  expect(dues).toEqual([...dues].sort((a, b) => a - b));
});

test("arrivals are Poisson: gaps have the mean and the spread of an exponential", async () => {
  const dues: number[] = [];
  await openLoop({ perS: 20_000, count: 4000, random: createRandom(2) }, async (_, dueMs) => {
    dues.push(dueMs);
  });
  const gaps = dues.slice(1).map((due, i) => due - dues[i]!);
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const sd = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
  expect(mean).toBeGreaterThan(0.045);
  expect(mean).toBeLessThan(0.055);
  expect(sd / mean).toBeGreaterThan(0.9);
  expect(sd / mean).toBeLessThan(1.1);
});

test("latencies keep three digits", () => {
  const latencies = createLatencies();
  for (let ms = 1; ms <= 1000; ms++) latencies.record(ms);
  expect(latencies.percentile(50)).toBeCloseTo(500, -1);
  expect(latencies.percentile(99)).toBeCloseTo(990, -1);
  expect(latencies.count()).toBe(1000);
});

test("a result is an aligned table that marks what was met and what was missed", () => {
  const figures = [
    figure("ratio", "0.301", "at least 0.25", true),
    figure("heap growth", "12 MB", "flat", false),
  ];
  expect(renderResult({ title: "votes", figures: [...figures, figure("rate", "5")], json: {} })).toEqual([
    "votes",
    "  ✓ ratio        0.301   at least 0.25",
    "  ✗ heap growth  12 MB   flat",
    "    rate             5",
  ]);
});

test("an unknown benchmark is named, with those there are", async () => {
  const progress: string[] = [];
  const out = { out: () => {}, progress: (line: string) => progress.push(line) };
  expect(await runBenches(["vote"], out)).toBe(2);
  expect(progress).toEqual([
    'covote bench: no benchmark is called "vote"; choose from votes, engines, llama, scaling',
  ]);
});
