/**
 * One layer of a small Llama over a chunk, forward and backward.
 *
 * What comes after attention is computed only for the rows that are asked for: all of them, or in the last
 * layer those that the head reads.
 */
import type { LlamaConfig } from "./config.js";
import type { Kernels } from "./kernels.js";
import type { LayerWeights, Projection } from "./network-weights.js";
import { ropeTables } from "./rope-tables.js";

/** A chunk as a layer sees it. */
export interface LayerInput {
  /** Tokens of each sequence. */
  lengths: Int32Array;
  /** Their sum. */
  tokens: number;
  /** Pointer to each token's position in its sequence. */
  positions: number;
}

/** Rows of the chunk, as a pointer to their indices, ascending. */
export interface RowChoice {
  at: number;
  count: number;
}

/** Pointers to what backward needs. */
export interface LayerPass {
  /** The layer's input; its result is `out`. */
  x: number;
  inverse1: number;
  normed1: number;
  qkv: number;
  /** Per sequence. */
  probs: readonly number[];
  /** From here on one row per chosen row. */
  chosen: RowChoice | undefined;
  attended: number;
  middle: number;
  inverse2: number;
  normed2: number;
  gateUp: number;
  gated: number;
  out: number;
}

export interface NetworkLayer {
  forward(w: LayerWeights, x: number, input: LayerInput, chosen?: RowChoice): LayerPass;
  /**
   * Given the gradient of `pass.out`, a pointer to the gradient of `pass.x`: `dout` itself, changed in place, or
   * new memory when rows were chosen.
   */
  backward(w: LayerWeights, pass: LayerPass, input: LayerInput, dout: number): number;
}

export function createNetworkLayer(config: LlamaConfig, kernels: Kernels): NetworkLayer {
  const { fn } = kernels;
  const { hiddenSize: hidden, intermediateSize: inner, heads, kvHeads, headDim: dim } = config;
  const eps = config.rmsNormEps;
  const width = heads * dim;
  const qkvWidth = (heads + 2 * kvHeads) * dim;
  const scale = 1 / Math.sqrt(dim);
  const tables = ropeTables(config.maxPositions, dim, config.ropeTheta);
  const cos = kernels.alloc(tables.cos.length);
  const sin = kernels.alloc(tables.sin.length);
  kernels.f32.set(tables.cos, cos >>> 2);
  kernels.f32.set(tables.sin, sin >>> 2);
  const scratch = kernels.alloc(
    Math.max(
      fn.gemmTransposedScratch(qkvWidth, hidden),
      fn.gemmTransposedScratch(hidden, width),
      fn.gemmTransposedScratch(2 * inner, hidden),
      fn.gemmTransposedScratch(hidden, inner),
    ),
  );

  /** Calls `each` with every sequence's first row, length and bytes per row of its probabilities. */
  const bySequence = (
    input: LayerInput,
    each: (s: number, row: number, length: number, ldp: number) => void,
  ) => {
    let row = 0;
    input.lengths.forEach((length, s) => {
      each(s, row, length, paddedTo8(length) * 4);
      row += length;
    });
  };

  function attend(qkv: number, probs: readonly number[], input: LayerInput, out: number): void {
    const mark = kernels.mark();
    const capacity = paddedTo8(longest(input));
    const keys = kernels.alloc(kvHeads * capacity * dim);
    const values = kernels.alloc(kvHeads * capacity * dim);
    bySequence(input, (s, row, length, ldp) => {
      const q = qkv + row * qkvWidth * 4;
      fn.cacheKeysValues(q, qkvWidth * 4, length, 0, heads, kvHeads, dim, keys, values, capacity);
      fn.attention(
        q,
        qkvWidth * 4,
        length,
        0,
        heads,
        kvHeads,
        dim,
        keys,
        values,
        capacity,
        scale,
        probs[s] as number,
        ldp,
        length * ldp,
        out + row * width * 4,
        width * 4,
      );
    });
    kernels.release(mark);
  }

  function attendBackward(pass: LayerPass, input: LayerInput, dattended: number, dqkv: number): void {
    const most = longest(input);
    const workspace = kernels.alloc(fn.attentionBackwardScratch(most, paddedTo8(most), dim));
    bySequence(input, (s, row, length, ldp) => {
      fn.attentionBackward(
        pass.qkv + row * qkvWidth * 4,
        qkvWidth * 4,
        length,
        heads,
        kvHeads,
        dim,
        scale,
        pass.probs[s] as number,
        ldp,
        length * ldp,
        dattended + row * width * 4,
        width * 4,
        dqkv + row * qkvWidth * 4,
        workspace,
      );
    });
  }

  /** `y = x · Wᵀ`, or `y += …`. */
  function project(
    x: number,
    into: number,
    rows: number,
    w: Projection,
    y: number,
    out: number,
    add: 0 | 1,
  ): void {
    fn.gemm(x, into * 4, rows, into, w.forward, out, y, out * 4, add);
  }

  /** Backward of `project`: adds dyᵀ · x to W's gradient and writes dx = dy · W. */
  function projectBackward(
    dy: number,
    out: number,
    rows: number,
    w: Projection,
    x: number,
    into: number,
    dx: number,
  ): void {
    fn.gemmTransposed(dy, out * 4, x, into * 4, rows, out, into, w.gradient, into * 4, scratch);
    fn.gemm(dy, out * 4, rows, out, w.backward, into, dx, into * 4, 0);
  }

  const copyOf = (from: number, floats: number): number => {
    const to = kernels.alloc(floats);
    kernels.f32.copyWithin(to >>> 2, from >>> 2, (from >>> 2) + floats);
    return to;
  };
  const picked = (from: number, rows: RowChoice, n: number): number => {
    const to = kernels.alloc(rows.count * n);
    fn.gather(from, rows.at, rows.count, n, to);
    return to;
  };
  /** Rows put back where they were chosen, zeros elsewhere. */
  const spread = (from: number, rows: RowChoice, n: number, all: number): number => {
    const to = kernels.alloc(all * n);
    kernels.floats(to, all * n).fill(0);
    fn.scatterAdd(from, rows.at, rows.count, n, to);
    return to;
  };

  return {
    forward(w, x, input, chosen) {
      const all = input.tokens;
      const inverse1 = kernels.alloc(all);
      const normed1 = kernels.alloc(all * hidden);
      const qkv = kernels.alloc(all * qkvWidth);
      const probs = Array.from(input.lengths, (n) => kernels.alloc(heads * n * paddedTo8(n) + 8));
      fn.rmsNorm(x, w.norm1, all, hidden, eps, normed1, inverse1);
      project(normed1, hidden, all, w.qkv, qkv, qkvWidth, 0);
      fn.rope(qkv, qkvWidth * 4, all, input.positions, heads + kvHeads, dim, cos, sin, 0);
      const everywhere = kernels.alloc(all * width);
      attend(qkv, probs, input, everywhere);

      const rows = chosen?.count ?? all;
      const attended = chosen ? picked(everywhere, chosen, width) : everywhere;
      const middle = chosen ? picked(x, chosen, hidden) : copyOf(x, all * hidden);
      project(attended, width, rows, w.out, middle, hidden, 1);
      const inverse2 = kernels.alloc(rows);
      const normed2 = kernels.alloc(rows * hidden);
      const gateUp = kernels.alloc(rows * 2 * inner);
      const gated = kernels.alloc(rows * inner);
      fn.rmsNorm(middle, w.norm2, rows, hidden, eps, normed2, inverse2);
      project(normed2, hidden, rows, w.gateUp, gateUp, 2 * inner, 0);
      fn.swiglu(gateUp, rows, inner, gated);
      const out = copyOf(middle, rows * hidden);
      project(gated, inner, rows, w.down, out, hidden, 1);
      return {
        x,
        inverse1,
        normed1,
        qkv,
        probs,
        chosen,
        attended,
        middle,
        inverse2,
        normed2,
        gateUp,
        gated,
        out,
      };
    },

    backward(w, pass, input, dout) {
      const all = input.tokens;
      const { chosen } = pass;
      const rows = chosen?.count ?? all;
      // The result outlives the scratch, so it is allocated below the mark.
      const dx = chosen ? kernels.alloc(all * hidden) : dout;
      const mark = kernels.mark();
      const dgated = kernels.alloc(rows * inner);
      const dnormed = kernels.alloc(all * hidden);
      projectBackward(dout, hidden, rows, w.down, pass.gated, inner, dgated);
      fn.swigluBackward(dgated, pass.gateUp, rows, inner);
      projectBackward(pass.gateUp, 2 * inner, rows, w.gateUp, pass.normed2, hidden, dnormed);
      fn.rmsNormBackward(dnormed, pass.middle, w.norm2, pass.inverse2, rows, hidden, dout, w.norm2Gradient);

      const dchosen = kernels.alloc(rows * width);
      projectBackward(dout, hidden, rows, w.out, pass.attended, width, dchosen);
      const dattended = chosen ? spread(dchosen, chosen, width, all) : dchosen;
      if (chosen) {
        kernels.floats(dx, all * hidden).fill(0);
        fn.scatterAdd(dout, chosen.at, chosen.count, hidden, dx);
      }
      const dqkv = kernels.alloc(all * qkvWidth);
      attendBackward(pass, input, dattended, dqkv);
      fn.rope(dqkv, qkvWidth * 4, all, input.positions, heads + kvHeads, dim, cos, sin, 1);
      projectBackward(dqkv, qkvWidth, all, w.qkv, pass.normed1, hidden, dnormed);
      fn.rmsNormBackward(dnormed, pass.x, w.norm1, pass.inverse1, all, hidden, dx, w.norm1Gradient);
      kernels.release(mark);
      return dx;
    },
  };
}

function paddedTo8(n: number): number {
  return (n + 7) & ~7;
}

function longest(input: LayerInput): number {
  return input.lengths.reduce((a, b) => Math.max(a, b), 0);
}
