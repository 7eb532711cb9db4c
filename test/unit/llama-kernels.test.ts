import { describe, expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { createKernels, panelFloats } from "../../lib/llama/kernels.js";
import { ropeTables } from "../../lib/llama/rope-tables.js";

const kernels = createKernels();
const { fn } = kernels;
const random = createRandom(11);

/** `count` normal numbers, in memory and as a copy. */
function numbers(count: number): { at: number; values: number[] } {
  const at = kernels.alloc(count);
  const view = kernels.floats(at, count);
  for (let i = 0; i < count; i++) view[i] = random.normal();
  return { at, values: [...view] };
}
const read = (at: number, count: number): number[] => [...kernels.floats(at, count)];
const pick = (values: readonly number[], i: number): number => values[i] as number;

function expectClose(got: readonly number[], want: readonly number[], relative = 2e-6): void {
  expect(got.length).toBe(want.length);
  const size = Math.hypot(...want) + 1e-30;
  expect(Math.hypot(...got.map((v, i) => v - pick(want, i))) / size).toBeLessThan(relative);
}

const shapes = [
  [1, 8, 8],
  [3, 5, 13],
  [5, 96, 24],
  [12, 17, 101],
  [300, 33, 9],
] as const;

describe("matrix products", () => {
  test.each(shapes)("%i × %i · %i: both kinds of panels agree with the definition", (rows, k, n) => {
    const mark = kernels.mark();
    const a = numbers(rows * k);
    const w = numbers(n * k);
    const transposed = w.values.map((_, i) => pick(w.values, (i % n) * k + Math.floor(i / n)));
    const t = kernels.alloc(n * k);
    kernels.f32.set(transposed, t >>> 2);
    const want = Array.from({ length: rows * n }, (_, i) => {
      let sum = 0;
      for (let j = 0; j < k; j++)
        sum += pick(a.values, Math.floor(i / n) * k + j) * pick(w.values, (i % n) * k + j);
      return sum;
    });
    const panels = kernels.alloc(panelFloats(n, k));
    const c = kernels.alloc(rows * n);
    fn.packTransposed(w.at, k * 4, n, k, panels);
    fn.gemm(a.at, k * 4, rows, k, panels, n, c, n * 4, 0);
    const first = read(c, rows * n);
    expectClose(first, want);
    fn.pack(t, n * 4, k, n, panels);
    fn.gemm(a.at, k * 4, rows, k, panels, n, c, n * 4, 0);
    expect(read(c, rows * n)).toEqual(first);
    fn.gemm(a.at, k * 4, rows, k, panels, n, c, n * 4, 1);
    expectClose(
      read(c, rows * n),
      want.map((v) => 2 * v),
    );
    kernels.release(mark);
  });

  test.each(shapes)("a row of %i × %i · %i has the same bits alone", (rows, k, n) => {
    const mark = kernels.mark();
    const a = numbers(rows * k);
    const w = numbers(n * k);
    const panels = kernels.alloc(panelFloats(n, k));
    const c = kernels.alloc(rows * n);
    const alone = kernels.alloc(n);
    fn.packTransposed(w.at, k * 4, n, k, panels);
    fn.gemm(a.at, k * 4, rows, k, panels, n, c, n * 4, 0);
    for (let r = 0; r < rows; r++) {
      fn.gemm(a.at + r * k * 4, k * 4, 1, k, panels, n, alone, n * 4, 0);
      expect(read(alone, n)).toEqual(read(c + r * n * 4, n));
    }
    kernels.release(mark);
  });

  test.each(shapes)("gradient of a weight, %i rows, %i × %i", (rows, m, n) => {
    const mark = kernels.mark();
    const a = numbers(rows * m);
    const b = numbers(rows * n);
    const c = numbers(m * n);
    const want = c.values.map((v, i) => {
      let sum = v;
      for (let r = 0; r < rows; r++)
        sum += pick(a.values, r * m + Math.floor(i / n)) * pick(b.values, r * n + (i % n));
      return sum;
    });
    const scratch = kernels.alloc(fn.gemmTransposedScratch(m, n));
    fn.gemmTransposed(a.at, m * 4, b.at, n * 4, rows, m, n, c.at, n * 4, scratch);
    expectClose(read(c.at, m * n), want);
    kernels.release(mark);
  });
});

describe("row-wise parts", () => {
  test("RMS norm follows its definition", () => {
    const [rows, n, eps] = [3, 20, 1e-5];
    const x = numbers(rows * n);
    const w = numbers(n);
    const out = kernels.alloc(rows * n);
    fn.rmsNorm(x.at, w.at, rows, n, eps, out, 0);
    const want = x.values.map((v, i) => {
      const row = x.values.slice(Math.floor(i / n) * n, Math.floor(i / n) * n + n);
      return (v * pick(w.values, i % n)) / Math.sqrt(row.reduce((s, u) => s + u * u, 0) / n + eps);
    });
    expectClose(read(out, rows * n), want);
  });

  test("rotary positions turn pairs half a head apart, and turn back", () => {
    const [rows, heads, dim] = [4, 3, 16];
    const { cos, sin } = ropeTables(32, dim, 10000);
    const c = kernels.alloc(cos.length);
    const s = kernels.alloc(sin.length);
    kernels.f32.set(cos, c >>> 2);
    kernels.f32.set(sin, s >>> 2);
    const positions = [0, 5, 5, 31];
    const p = kernels.allocInts(positions);
    // One head more than is rotated: the values.
    const width = (heads + 1) * dim;
    const x = numbers(rows * width);
    fn.rope(x.at, width * 4, rows, p, heads, dim, c, s, 0);
    const want = x.values.map((v, i) => {
      const [row, at] = [Math.floor(i / width), i % width];
      if (at >= heads * dim) return v;
      const d = at % dim;
      const angle = pick(positions, row) * 10000 ** ((-2 * (d % (dim / 2))) / dim);
      const partner = pick(x.values, d < dim / 2 ? i + dim / 2 : i - dim / 2);
      return v * Math.cos(angle) + (d < dim / 2 ? -1 : 1) * partner * Math.sin(angle);
    });
    expectClose(read(x.at, rows * width), want);
    fn.rope(x.at, width * 4, rows, p, heads, dim, c, s, 1);
    expectClose(read(x.at, rows * width), x.values);
  });

  test("SwiGLU follows its definition, far from zero too", () => {
    const gates = [-200, -80, -20, -3, -1, -1e-3, 0, 1e-3, 1, 3, 20, 88];
    const x = kernels.alloc(24);
    kernels.f32.set([...gates, ...gates.map((_, i) => i - 5)], x >>> 2);
    const out = kernels.alloc(12);
    fn.swiglu(x, 1, 12, out);
    const want = gates.map((g, i) => (g / (1 + Math.exp(-g))) * (i - 5));
    read(out, 12).forEach((v, i) => {
      expect(Math.abs(v - pick(want, i))).toBeLessThanOrEqual(1e-6 * Math.abs(pick(want, i)) + 1e-30);
    });
  });
});

describe("attention", () => {
  const [length, heads, kvHeads, dim] = [37, 4, 2, 16];
  const width = (heads + 2 * kvHeads) * dim;
  const qkv = numbers(length * width);
  const capacity = 40;
  const keys = kernels.alloc(kvHeads * capacity * dim);
  const values = kernels.alloc(kvHeads * capacity * dim);
  const probs = kernels.alloc(length * capacity + 8);
  const scale = 1 / Math.sqrt(dim);

  function attend(start: number, rows: number): number[] {
    const out = kernels.alloc(rows * heads * dim);
    const from = qkv.at + start * width * 4;
    fn.cacheKeysValues(from, width * 4, rows, start, heads, kvHeads, dim, keys, values, capacity);
    fn.attention(
      from,
      width * 4,
      rows,
      start,
      heads,
      kvHeads,
      dim,
      keys,
      values,
      capacity,
      scale,
      probs,
      capacity * 4,
      0,
      out,
      heads * dim * 4,
    );
    return read(out, rows * heads * dim);
  }

  test("agrees with the definition, with grouped heads", () => {
    const want: number[] = [];
    for (let r = 0; r < length; r++) {
      for (let h = 0; h < heads; h++) {
        const key = (j: number, d: number) => pick(qkv.values, j * width + (heads + (h >> 1)) * dim + d);
        const value = (j: number, d: number) =>
          pick(qkv.values, j * width + (heads + kvHeads + (h >> 1)) * dim + d);
        const scores = Array.from({ length: r + 1 }, (_, j) => {
          let dot = 0;
          for (let d = 0; d < dim; d++) dot += pick(qkv.values, r * width + h * dim + d) * key(j, d);
          return Math.exp(dot * scale);
        });
        const total = scores.reduce((a, b) => a + b, 0);
        for (let d = 0; d < dim; d++)
          want.push(scores.reduce((sum, p, j) => sum + (p / total) * value(j, d), 0));
      }
    }
    expectClose(attend(0, length), want);
  });

  test("has the same bits token by token, in two parts, and at once", () => {
    const whole = attend(0, length);
    const stepwise = Array.from({ length }, (_, t) => attend(t, 1)).flat();
    expect(stepwise).toEqual(whole);
    expect([...attend(0, 11), ...attend(11, length - 11)]).toEqual(whole);
  });
});

describe("log-probabilities", () => {
  test("agree with the definition at a temperature; probabilities sum to 1; entropy in nats", () => {
    const [rows, n, padded, temperature] = [7, 13, 16, 0.6];
    const z = numbers(rows * padded);
    const targets = Array.from({ length: rows }, (_, r) => (r * 5) % n);
    const logprobs = kernels.alloc(rows);
    const entropies = kernels.alloc(rows);
    fn.logSoftmax(
      z.at,
      padded * 4,
      rows,
      n,
      1 / temperature,
      kernels.allocInts(targets),
      logprobs,
      entropies,
    );
    for (let r = 0; r < rows; r++) {
      const e = z.values.slice(r * padded, r * padded + n).map((v) => Math.exp(v / temperature));
      const total = e.reduce((a, b) => a + b, 0);
      const p = e.map((v) => v / total);
      expect(pick(read(logprobs, rows), r)).toBeCloseTo(Math.log(pick(p, pick(targets, r))), 5);
      expect(pick(read(entropies, rows), r)).toBeCloseTo(-p.reduce((s, v) => s + v * Math.log(v), 0), 5);
      expectClose(read(z.at + r * padded * 4, n), p);
    }
  });

  test("stay finite for logits far apart", () => {
    const z = kernels.alloc(4);
    kernels.f32.set([1e4, -1e4, 0, 0], z >>> 2);
    const logprobs = kernels.alloc(1);
    const entropies = kernels.alloc(1);
    fn.logSoftmax(z, 16, 1, 3, 1, kernels.allocInts([1]), logprobs, entropies);
    expect(pick(read(logprobs, 1), 0)).toBe(-2e4);
    expect(pick(read(entropies, 1), 0)).toBe(0);
    expect(read(z, 3)).toEqual([1, 0, 0]);
  });

  test("let a NaN through instead of hiding it", () => {
    const z = kernels.alloc(4);
    kernels.f32.set([1, Number.NaN, 0, 0], z >>> 2);
    const logprobs = kernels.alloc(1);
    fn.logSoftmax(z, 16, 1, 3, 1, kernels.allocInts([0]), logprobs, 0);
    expect(pick(read(logprobs, 1), 0)).toBeNaN();
  });
});

test("AdamW takes the step of its definition", () => {
  const n = 9;
  const [w, g, m] = [numbers(n), numbers(n), numbers(n)];
  const v = numbers(n);
  const squares = v.values.map((x) => x * x);
  kernels.f32.set(squares, v.at >>> 2);
  const [rate, beta1, beta2, eps, decay, step, clip] = [0.01, 0.9, 0.95, 1e-8, 0.1, 3, 0.5];
  const correction1 = 1 - beta1 ** step;
  const correction2 = Math.sqrt(1 - beta2 ** step);
  fn.adamw(w.at, g.at, m.at, v.at, n, clip, rate, beta1, beta2, eps, decay, correction1, correction2);
  const want = w.values.map((x, i) => {
    const grad = clip * pick(g.values, i);
    const m1 = beta1 * pick(m.values, i) + (1 - beta1) * grad;
    const v1 = beta2 * pick(squares, i) + (1 - beta2) * grad * grad;
    return x * (1 - rate * decay) - (rate * (m1 / correction1)) / (Math.sqrt(v1) / correction2 + eps);
  });
  expectClose(read(w.at, n), want);
});

test("memory beyond what is allowed is refused with the amount, and views survive by being taken again", () => {
  const tight = createKernels({ maxMebibytes: 8 });
  const at = tight.alloc(4);
  tight.f32[at >>> 2] = 5;
  tight.alloc(1_000_000);
  expect(tight.floats(at, 1)[0]).toBe(5);
  expect(() => tight.alloc(4_000_000)).toThrow(/needs \d+ MiB of numeric memory, 8 allowed/);
});
