import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { type GrpoLossInput, type GrpoLossOptions, grpoLoss } from "../../lib/grpo/loss.js";

const plain: GrpoLossOptions = {
  clipLow: 0.2,
  clipHigh: 0.28,
  klWeight: 0.05,
  aggregation: "token",
  importanceCap: null,
};

/** One sequence of one token with ratio `ratio`. */
function oneToken(ratio: number, advantage: number, options: Partial<GrpoLossOptions> = {}) {
  const input = {
    logprobs: [Float32Array.of(-1)],
    oldLogprobs: [[-1 - Math.log(ratio)]],
    refLogprobs: null,
    advantages: [advantage],
  };
  return grpoLoss(input, { ...plain, klWeight: 0, ...options });
}

test("loss: on-policy tokens give minus the advantage, and the gradient of plain policy gradient", () => {
  const { loss, dLogprobs, metrics } = oneToken(1, 2);
  expect(loss).toBeCloseTo(-2, 12);
  expect(dLogprobs[0]?.[0]).toBeCloseTo(-2, 6);
  expect(metrics).toMatchObject({
    clip_fraction: 0,
    ratio_mean: 1,
    ratio_max: 1,
    tokens: 1,
    sequences: 1,
    kl: 0,
  });
});

describe("loss: the clip cuts the gradient only where it would go further the same way", () => {
  const cases: [ratio: number, advantage: number, loss: number, cut: boolean][] = [
    [1.5, 1, -1.28, true],
    [1.5, -1, 1.5, false],
    [0.5, 1, -0.5, false],
    [0.5, -1, 0.8, true],
    [1.1, 1, -1.1, false],
  ];
  test.each(cases)("ratio %d, advantage %d", (ratio, advantage, expected, cut) => {
    const { loss, dLogprobs, metrics } = oneToken(ratio, advantage);
    expect(loss).toBeCloseTo(expected, 6);
    expect(dLogprobs[0]?.[0]).toBeCloseTo(cut ? 0 : -advantage * ratio, 6);
    expect(metrics.clip_fraction).toBe(cut ? 1 : 0);
    expect(metrics.clip_high_fraction).toBe(cut && ratio > 1 ? 1 : 0);
  });
});

test("loss: the importance cap bounds what a stale token can do, and says how often", () => {
  const capped = oneToken(50, -1, { importanceCap: 2 });
  expect(capped.dLogprobs[0]?.[0]).toBeCloseTo(2, 6);
  expect(capped.loss).toBeCloseTo(2 * (1 + Math.log(25)), 5);
  expect(capped.metrics).toMatchObject({ truncated_fraction: 1, clip_fraction: 0 });
  expect(oneToken(50, -1).dLogprobs[0]?.[0]).toBeCloseTo(50, 4);
});

test("loss: KL to the reference is k3 and pulls towards it", () => {
  const input = {
    logprobs: [Float32Array.of(-2)],
    oldLogprobs: [[-2]],
    refLogprobs: [[-1]],
    advantages: [0],
  };
  const { loss, dLogprobs, metrics } = grpoLoss(input, plain);
  expect(metrics.kl).toBeCloseTo(Math.E - 2, 6);
  expect(loss).toBeCloseTo(0.05 * (Math.E - 2), 6);
  expect(dLogprobs[0]?.[0]).toBeCloseTo(0.05 * (1 - Math.E), 6);
});

describe("loss: what one token of a sequence counts depends on the aggregation", () => {
  // Two sequences of 1 and 3 tokens, on-policy, advantages 1 and -1.
  const input: GrpoLossInput = {
    logprobs: [Float32Array.of(-1), Float32Array.of(-1, -1, -1), new Float32Array(0)],
    oldLogprobs: [[-1], [-1, -1, -1], []],
    refLogprobs: null,
    advantages: [1, -1, 5],
  };
  const cases: [options: Partial<GrpoLossOptions>, loss: number, gradients: number[]][] = [
    [{ aggregation: "sequence" }, 0, [-1 / 2, 1 / 6]],
    [{ aggregation: "token" }, 0.5, [-1 / 4, 1 / 4]],
    [{ aggregation: "constant", maxTokens: 10 }, 0.1, [-1 / 20, 1 / 20]],
  ];
  test.each(cases)("%j", (options, expected, gradients) => {
    const { loss, dLogprobs } = grpoLoss(input, { ...plain, klWeight: 0, ...options });
    expect(loss).toBeCloseTo(expected, 6);
    expect(dLogprobs[0]?.[0]).toBeCloseTo(gradients[0] as number, 6);
    expect(dLogprobs[1]?.[2]).toBeCloseTo(gradients[1] as number, 6);
    expect(dLogprobs[2]).toHaveLength(0);
  });
});

test("loss: no sequences and no tokens give zero, not NaN", () => {
  const nothing = { logprobs: [], oldLogprobs: [], refLogprobs: null, advantages: [] };
  expect(grpoLoss(nothing, { ...plain, klWeight: 0 })).toMatchObject({
    loss: 0,
    metrics: { ratio_mean: 0, tokens: 0 },
  });
});

test("loss: the gradient agrees with finite differences, for every aggregation, clip, cap and KL weight", () => {
  const variants = fc.record({
    clipLow: fc.constantFrom(0.1, 0.2),
    clipHigh: fc.constantFrom(0.2, 0.28),
    klWeight: fc.constantFrom(0, 0.05, 1),
    aggregation: fc.constantFrom("token" as const, "sequence" as const, "constant" as const),
    importanceCap: fc.constantFrom(null, 1.3, 2),
    maxTokens: fc.constant(12),
  });
  fc.assert(
    fc.property(variants, fc.nat(), (options, seed) => {
      const random = createRandom(seed);
      const draw = (from: ArrayLike<number>, sd: number) =>
        Array.from(from, (value) => value + sd * random.normal());
      const logprobs = [3, 1, 5].map((length) =>
        Float32Array.from({ length }, () => -4 * random.next() - 0.5),
      );
      const input = {
        logprobs,
        oldLogprobs: logprobs.map((values) => draw(values, 0.6)),
        refLogprobs: logprobs.map((values) => draw(values, 0.6)),
        advantages: [1.3, -0.7, -2],
      };
      const { dLogprobs } = grpoLoss(input, options);
      for (const [sequence, values] of logprobs.entries()) {
        for (let token = 0; token < values.length; token++) {
          const at = values[token] as number;
          const lossAt = (value: number): { loss: number; point: number } => {
            values[token] = value;
            const point = values[token] as number;
            const { loss } = grpoLoss(input, options);
            values[token] = at;
            return { loss, point };
          };
          const up = lossAt(at + 2 ** -12);
          const down = lossAt(at - 2 ** -12);
          const ratioEdges = [1 - options.clipLow, 1 + options.clipHigh, options.importanceCap ?? 1e9];
          const ratio = Math.exp(at - (input.oldLogprobs[sequence]?.[token] as number));
          // At a kink of the clip there is no derivative to agree with.
          if (ratioEdges.some((edge) => Math.abs(Math.log(ratio / edge)) < 2 ** -11)) continue;
          const slope = (up.loss - down.loss) / (up.point - down.point);
          expect(dLogprobs[sequence]?.[token]).toBeCloseTo(slope, 5);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("loss: metrics are within their ranges for any log-probabilities", () => {
  const logprob = fc.double({ noNaN: true, min: -1000, max: 0 });
  const token = fc.tuple(logprob, logprob, logprob);
  fc.assert(
    fc.property(fc.array(fc.array(token, { maxLength: 4 }), { maxLength: 4 }), (sequences) => {
      const pick = (index: 0 | 1 | 2) => sequences.map((tokens) => tokens.map((each) => each[index]));
      const { loss, metrics, dLogprobs } = grpoLoss(
        {
          logprobs: pick(0).map((values) => Float32Array.from(values)),
          oldLogprobs: pick(1),
          refLogprobs: pick(2),
          advantages: sequences.map((_, index) => index - 1.5),
        },
        plain,
      );
      expect(Number.isFinite(loss)).toBe(true);
      expect(dLogprobs.every((values) => values.every(Number.isFinite))).toBe(true);
      expect(metrics.kl).toBeGreaterThanOrEqual(0);
      expect(metrics.old_kl).toBeGreaterThanOrEqual(0);
      expect(metrics.clip_fraction).toBeLessThanOrEqual(1);
    }),
  );
});

describe("loss: shapes and options that cannot be are named", () => {
  const input: GrpoLossInput = {
    logprobs: [Float32Array.of(-1, -2)],
    oldLogprobs: [[-1, -2]],
    refLogprobs: [[-1, -2]],
    advantages: [1],
  };
  const cases: [message: string, input: Partial<GrpoLossInput>, options: Partial<GrpoLossOptions>][] = [
    ["oldLogprobs[0]: 1 values for 2 tokens", { oldLogprobs: [[-1]] }, {}],
    ["oldLogprobs: 0 for 1 sequences", { oldLogprobs: [] }, {}],
    ["refLogprobs[0][1]: NaN is not a finite number", { refLogprobs: [[-1, Number.NaN]] }, {}],
    ["logprobs[0][0]: -Infinity is not a finite number", { logprobs: [Float32Array.of(-Infinity, 0)] }, {}],
    ["advantages: 2 for 1 sequences", { advantages: [1, 2] }, {}],
    ["advantages[0]: NaN is not a finite number", { advantages: [Number.NaN] }, {}],
    ["refLogprobs: a klWeight above 0 needs a reference", { refLogprobs: null }, {}],
    ["clipLow: must be within 0 to 1, got 2", {}, { clipLow: 2 }],
    ["importanceCap: must be at least 1 + clipHigh (1.28)", {}, { importanceCap: 1.2 }],
    ["maxTokens: the constant aggregation needs", {}, { aggregation: "constant" }],
  ];
  test.each(cases)("%s", (message, changed, options) => {
    expect(() => grpoLoss({ ...input, ...changed }, { ...plain, ...options })).toThrow(message);
  });
});
