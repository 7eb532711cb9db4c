/**
 * Forward and backward of a small Llama over a chunk of whole sequences, concatenated without padding.
 *
 * - The conventions are Hugging Face's: RMSNorm, rotary positions by rotate_half, SwiGLU, grouped-query
 *   attention, tied embeddings, or a scalar head read after the final norm.
 * - The head is computed only at the rows that are asked for.
 * - A row's output has the same bits whatever else is in the chunk.
 * - Activations live on the kernels' stack: `forward` allocates, the caller releases by mark. A pass can go
 *   backward once, while the weights are still those of its forward.
 */
import { checkConfig, type LlamaConfig } from "./config.js";
import type { Kernels } from "./kernels.js";
import { createNetworkWeights } from "./network-weights.js";
import { ropeTables } from "./rope-tables.js";

/** Whole sequences, one after another. */
export interface Chunk {
  tokens: Int32Array;
  /** Tokens of each sequence; they sum to `tokens.length`. */
  lengths: Int32Array;
  /** Indices into `tokens` where the head is read, ascending. */
  rows: Int32Array;
  /** With an `lm` head: the token that each of `rows` is asked to predict. */
  targets: Int32Array;
}

export interface PassOptions {
  /** Log-probabilities are those of softmax(logits / temperature). */
  temperature: number;
  entropies: boolean;
}

/** What a forward leaves behind: pointers to activations. */
export interface Pass {
  readonly chunk: Chunk;
  readonly temperature: number;
  /** One float per row of the chunk: log-probability of its target, or the scalar head's number. */
  readonly outputs: number;
  /** One float per row, in nats; 0 when not asked for. */
  readonly entropies: number;
  readonly tokens: number;
  readonly positions: number;
  readonly rows: number;
  readonly targets: number;
  readonly layers: readonly LayerPass[];
  readonly final: { x: number; inverse: number; normed: number; logits: number };
}

interface LayerPass {
  x: number;
  inverse1: number;
  normed1: number;
  qkv: number;
  /** Per sequence. */
  probs: readonly number[];
  attended: number;
  middle: number;
  inverse2: number;
  normed2: number;
  gateUp: number;
  gated: number;
}

export interface Network {
  /** Takes a copy of the weights, in layout order. `backward: false` prepares for forwards only. */
  load(weights: Float32Array, options: { backward: boolean }): void;
  forward(chunk: Chunk, options: PassOptions): Pass;
  /** Adds to the gradient, given dLoss/dOutput for each row of the chunk. */
  backward(pass: Pass, coefficients: Float32Array): void;
  /** The accumulated gradient, in layout order (a short-lived view). */
  gradient(): Float32Array;
}

export function createNetwork(config: LlamaConfig, kernels: Kernels): Network {
  checkConfig(config);
  const { fn } = kernels;
  const { hiddenSize: hidden, intermediateSize: inner, heads, kvHeads, headDim: dim } = config;
  const weights = createNetworkWeights(config, kernels);
  const width = heads * dim;
  const qkvWidth = (heads + 2 * kvHeads) * dim;
  const outputs = config.head === "lm" ? config.vocabSize : 1;
  // The log-softmax works on whole vectors of four.
  const outputsPadded = (outputs + 3) & ~3;
  const scale = 1 / Math.sqrt(dim);
  const eps = config.rmsNormEps;
  const tables = ropeTables(config.maxPositions, dim, config.ropeTheta);
  const cos = kernels.alloc(tables.cos.length);
  const sin = kernels.alloc(tables.sin.length);
  kernels.f32.set(tables.cos, cos >>> 2);
  kernels.f32.set(tables.sin, sin >>> 2);
  const scratchFloats = Math.max(
    fn.gemmTransposedScratch(outputs, hidden),
    fn.gemmTransposedScratch(qkvWidth, hidden),
    fn.gemmTransposedScratch(hidden, width),
    fn.gemmTransposedScratch(2 * inner, hidden),
    fn.gemmTransposedScratch(hidden, inner),
  );
  const scratch = kernels.alloc(scratchFloats);

  const copy = (from: number, to: number, floats: number): void => {
    kernels.f32.copyWithin(to >>> 2, from >>> 2, (from >>> 2) + floats);
  };
  const zeros = (floats: number): number => {
    const at = kernels.alloc(floats);
    kernels.floats(at, floats).fill(0);
    return at;
  };

  /** `chunk` through one layer; returns what backward needs and where the result is. */
  function layerForward(l: number, x: number, chunk: Chunk, positions: number): [LayerPass, number] {
    const w = weights.layer(l);
    const t = chunk.tokens.length;
    const inverse1 = kernels.alloc(t);
    const normed1 = kernels.alloc(t * hidden);
    const qkv = kernels.alloc(t * qkvWidth);
    const attended = kernels.alloc(t * width);
    const middle = kernels.alloc(t * hidden);
    const inverse2 = kernels.alloc(t);
    const normed2 = kernels.alloc(t * hidden);
    const gateUp = kernels.alloc(t * 2 * inner);
    const gated = kernels.alloc(t * inner);
    const out = kernels.alloc(t * hidden);
    const probs: number[] = [];
    for (const length of chunk.lengths) probs.push(kernels.alloc(heads * length * paddedTo8(length) + 8));

    fn.rmsNorm(x, w.norm1, t, hidden, eps, normed1, inverse1);
    fn.gemm(normed1, hidden * 4, t, hidden, w.qkv.forward, qkvWidth, qkv, qkvWidth * 4, 0);
    fn.rope(qkv, qkvWidth * 4, t, positions, heads + kvHeads, dim, cos, sin, 0);
    const mark = kernels.mark();
    const capacity = paddedTo8(longest(chunk));
    const keys = kernels.alloc(kvHeads * capacity * dim);
    const values = kernels.alloc(kvHeads * capacity * dim);
    let row = 0;
    chunk.lengths.forEach((length, s) => {
      const q = qkv + row * qkvWidth * 4;
      const ldp = paddedTo8(length) * 4;
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
        attended + row * width * 4,
        width * 4,
      );
      row += length;
    });
    kernels.release(mark);
    copy(x, middle, t * hidden);
    fn.gemm(attended, width * 4, t, width, w.out.forward, hidden, middle, hidden * 4, 1);
    fn.rmsNorm(middle, w.norm2, t, hidden, eps, normed2, inverse2);
    fn.gemm(normed2, hidden * 4, t, hidden, w.gateUp.forward, 2 * inner, gateUp, 2 * inner * 4, 0);
    fn.swiglu(gateUp, t, inner, gated);
    copy(middle, out, t * hidden);
    fn.gemm(gated, inner * 4, t, inner, w.down.forward, hidden, out, hidden * 4, 1);
    return [{ x, inverse1, normed1, qkv, probs, attended, middle, inverse2, normed2, gateUp, gated }, out];
  }

  /** Turns `dx`, the gradient of the layer's result, into the gradient of its input. */
  function layerBackward(l: number, p: LayerPass, pass: Pass, dx: number): void {
    const w = weights.layer(l);
    const t = pass.chunk.tokens.length;
    const mark = kernels.mark();
    const dnormed = kernels.alloc(t * hidden);
    const dgated = kernels.alloc(t * inner);
    fn.gemm(dx, hidden * 4, t, hidden, w.down.backward, inner, dgated, inner * 4, 0);
    fn.gemmTransposed(
      dx,
      hidden * 4,
      p.gated,
      inner * 4,
      t,
      hidden,
      inner,
      w.down.gradient,
      inner * 4,
      scratch,
    );
    fn.swigluBackward(dgated, p.gateUp, t, inner);
    project(p.gateUp, 2 * inner, p.normed2, hidden, t, w.gateUp, dnormed);
    fn.rmsNormBackward(dnormed, p.middle, w.norm2, p.inverse2, t, hidden, dx, w.norm2Gradient);

    const dattended = kernels.alloc(t * width);
    const dqkv = kernels.alloc(t * qkvWidth);
    project(dx, hidden, p.attended, width, t, w.out, dattended);
    const most = longest(pass.chunk);
    const attentionScratch = kernels.alloc(fn.attentionBackwardScratch(most, paddedTo8(most), dim));
    let row = 0;
    pass.chunk.lengths.forEach((length, s) => {
      const ldp = paddedTo8(length) * 4;
      fn.attentionBackward(
        p.qkv + row * qkvWidth * 4,
        qkvWidth * 4,
        length,
        heads,
        kvHeads,
        dim,
        scale,
        p.probs[s] as number,
        ldp,
        length * ldp,
        dattended + row * width * 4,
        width * 4,
        dqkv + row * qkvWidth * 4,
        attentionScratch,
      );
      row += length;
    });
    fn.rope(dqkv, qkvWidth * 4, t, pass.positions, heads + kvHeads, dim, cos, sin, 1);
    project(dqkv, qkvWidth, p.normed1, hidden, t, w.qkv, dnormed);
    fn.rmsNormBackward(dnormed, p.x, w.norm1, p.inverse1, t, hidden, dx, w.norm1Gradient);
    kernels.release(mark);
  }

  /** Backward of `y = x · Wᵀ`: adds dyᵀ · x to W's gradient and writes dx = dy · W. */
  function project(
    dy: number,
    out: number,
    x: number,
    into: number,
    rows: number,
    w: { backward: number; gradient: number },
    dx: number,
  ): void {
    fn.gemmTransposed(dy, out * 4, x, into * 4, rows, out, into, w.gradient, into * 4, scratch);
    fn.gemm(dy, out * 4, rows, out, w.backward, into, dx, into * 4, 0);
  }

  return {
    load: weights.load,
    gradient: weights.gradient,

    forward(chunk, options) {
      const t = chunk.tokens.length;
      const n = chunk.rows.length;
      const tokens = kernels.allocInts(chunk.tokens);
      const positions = kernels.allocInts(positionsOf(chunk));
      const rows = kernels.allocInts(chunk.rows);
      const targets = kernels.allocInts(chunk.targets);
      let x = kernels.alloc(t * hidden);
      fn.gather(weights.embedding, tokens, t, hidden, x);
      const layers: LayerPass[] = [];
      for (let l = 0; l < config.layers; l++) {
        const [layer, out] = layerForward(l, x, chunk, positions);
        layers.push(layer);
        x = out;
      }
      const final = {
        x: kernels.alloc(n * hidden),
        inverse: kernels.alloc(n),
        normed: kernels.alloc(n * hidden),
        logits: kernels.alloc(n * outputsPadded),
      };
      fn.gather(x, rows, n, hidden, final.x);
      fn.rmsNorm(final.x, weights.finalNorm, n, hidden, eps, final.normed, final.inverse);
      const outputs4 = outputsPadded * 4;
      fn.gemm(final.normed, hidden * 4, n, hidden, weights.head.forward, outputs, final.logits, outputs4, 0);
      const out = kernels.alloc(n);
      let entropies = 0;
      if (config.head === "lm") {
        if (options.entropies) entropies = kernels.alloc(n);
        fn.logSoftmax(final.logits, outputs4, n, outputs, 1 / options.temperature, targets, out, entropies);
      } else {
        const f32 = kernels.f32;
        for (let i = 0; i < n; i++) {
          f32[(out >>> 2) + i] = f32[(final.logits >>> 2) + i * outputsPadded] as number;
        }
      }
      return {
        chunk,
        temperature: options.temperature,
        outputs: out,
        entropies,
        tokens,
        positions,
        rows,
        targets,
        layers,
        final,
      };
    },

    backward(pass, coefficients) {
      const { chunk, final } = pass;
      const t = chunk.tokens.length;
      const n = chunk.rows.length;
      if (n === 0) return;
      const mark = kernels.mark();
      const given = kernels.alloc(n);
      kernels.f32.set(coefficients, given >>> 2);
      const outputs4 = outputsPadded * 4;
      if (config.head === "lm") {
        fn.logSoftmaxBackward(final.logits, outputs4, n, outputs, 1 / pass.temperature, pass.targets, given);
      } else {
        const f32 = kernels.f32;
        for (let i = 0; i < n; i++) {
          f32[(final.logits >>> 2) + i * outputsPadded] = f32[(given >>> 2) + i] as number;
        }
      }
      const dnormed = kernels.alloc(n * hidden);
      const head = weights.head;
      fn.gemmTransposed(
        final.logits,
        outputs4,
        final.normed,
        hidden * 4,
        n,
        outputs,
        hidden,
        head.gradient,
        hidden * 4,
        scratch,
      );
      fn.gemm(final.logits, outputs4, n, outputs, head.backward, hidden, dnormed, hidden * 4, 0);
      const dfinal = zeros(n * hidden);
      fn.rmsNormBackward(
        dnormed,
        final.x,
        weights.finalNorm,
        final.inverse,
        n,
        hidden,
        dfinal,
        weights.finalNormGradient,
      );
      const dx = zeros(t * hidden);
      fn.scatterAdd(dfinal, pass.rows, n, hidden, dx);
      for (let l = config.layers - 1; l >= 0; l--) layerBackward(l, pass.layers[l] as LayerPass, pass, dx);
      fn.scatterAdd(dx, pass.tokens, t, hidden, weights.embeddingGradient);
      kernels.release(mark);
    },
  };
}

function paddedTo8(n: number): number {
  return (n + 7) & ~7;
}

function longest(chunk: Chunk): number {
  return chunk.lengths.reduce((a, b) => Math.max(a, b), 0);
}

function positionsOf(chunk: Chunk): Int32Array {
  const positions = new Int32Array(chunk.tokens.length);
  let at = 0;
  for (const length of chunk.lengths) for (let p = 0; p < length; p++) positions[at++] = p;
  return positions;
}
