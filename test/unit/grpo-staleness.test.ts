import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { learningRateAt } from "../../lib/grpo/schedule.js";
import { admissible, isStale } from "../../lib/grpo/staleness.js";

const idle = { maxStaleness: 0, version: 0, batch: 8, accepted: 0, running: 0, maxConcurrent: 100 };

test("admission: on-policy, exactly one batch may be under way per version", () => {
  expect(admissible(idle)).toBe(8);
  expect(admissible({ ...idle, running: 5 })).toBe(3);
  expect(admissible({ ...idle, accepted: 8 })).toBe(0);
  expect(admissible({ ...idle, accepted: 8, version: 1 })).toBe(8);
});

test("admission: each version of allowed staleness adds a batch; concurrency is a bound of its own", () => {
  expect(admissible({ ...idle, maxStaleness: 2 })).toBe(24);
  expect(admissible({ ...idle, maxStaleness: 2, maxConcurrent: 10, running: 4 })).toBe(6);
  expect(admissible({ ...idle, accepted: 40 })).toBe(0);
});

test("staleness: as old as allowed is not stale, one older is", () => {
  expect(isStale({ sampledVersion: 3, version: 5, maxStaleness: 2 })).toBe(false);
  expect(isStale({ sampledVersion: 2, version: 5, maxStaleness: 2 })).toBe(true);
});

test("admission: when groups are trained in the order they were asked for, none is ever stale", () => {
  fc.assert(
    fc.property(
      fc.record({ maxStaleness: fc.nat(3), batch: fc.integer({ min: 1, max: 5 }), seed: fc.nat() }),
      ({ maxStaleness, batch, seed }) => {
        const random = createRandom(seed);
        let version = 0;
        let taken = 0;
        const asked: number[] = [];
        let accepted = 0;
        for (let event = 0; event < 300; event++) {
          const running = asked.length - accepted;
          const room = admissible({ maxStaleness, version, batch, accepted, running, maxConcurrent: 50 });
          if (room > 0 && random.next() < 0.5) asked.push(version);
          else if (running > 0 && random.next() < 0.5) accepted++;
          else if (accepted - taken >= batch) {
            for (const sampledVersion of asked.slice(taken, taken + batch)) {
              expect(isStale({ sampledVersion, version, maxStaleness })).toBe(false);
            }
            taken += batch;
            version++;
          }
        }
      },
    ),
  );
});

const schedule = { peak: 1, warmupSteps: 3, totalSteps: 13, decay: "linear" as const };

test("schedule: the warm-up rises from the first step, the decay ends at the floor and stays there", () => {
  expect([0, 1, 2, 3].map((step) => learningRateAt(step, schedule))).toEqual([0.25, 0.5, 0.75, 1]);
  expect(learningRateAt(12, schedule)).toBe(0);
  expect(learningRateAt(12, { ...schedule, floor: 0.1 })).toBeCloseTo(0.1, 12);
  expect(learningRateAt(99, { ...schedule, floor: 0.1 })).toBeCloseTo(0.1, 12);
  expect(learningRateAt(99, { ...schedule, decay: "constant" })).toBe(1);
});

test("schedule: linear falls evenly, cosine is half-way down in the middle", () => {
  const half = { ...schedule, warmupSteps: 0, totalSteps: 11 };
  expect(learningRateAt(5, half)).toBeCloseTo(0.5, 12);
  expect(learningRateAt(5, { ...half, decay: "cosine" })).toBeCloseTo(0.5, 12);
  expect(learningRateAt(2, { ...half, decay: "cosine" })).toBeGreaterThan(learningRateAt(2, half));
});

test("schedule: impossible options are named", () => {
  expect(() => learningRateAt(0, { ...schedule, peak: 0 })).toThrow("peak: must be above 0");
  expect(() => learningRateAt(0, { ...schedule, totalSteps: 0 })).toThrow("totalSteps: must be");
  expect(() => learningRateAt(0, { ...schedule, floor: 2 })).toThrow("floor: must be");
});
