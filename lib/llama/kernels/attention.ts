// Causal attention over one sequence, on packed keys and values.
//
// One layer's cache of one sequence has room for `capacity` positions (a multiple of 8). For each key/value
// head it holds capacity · dim floats: keys as `[capacity / 8][dim][8]`, values as `[dim / 8][capacity][8]`.
// A query's result is the same bits whether its neighbours are computed with it (training, prefill) or not
// (decoding one token at a time). A row of `qkv` is: queries of all heads, keys, values. `dim % 8 == 0`.
import { exp4, max4, sum4 } from "./exp";
import { ROWS, packStrided, packTransposed, tiles, tileTransposed } from "./gemm";

/** Writes the keys and values of `rows` consecutive positions, the first one at `start`, into the cache. */
export function cacheKeysValues(
  qkv: usize, ld: usize, rows: i32, start: i32, heads: i32, kvHeads: i32, dim: i32,
  keys: usize, values: usize, capacity: i32,
): void {
  const bytes = (<usize>dim) << 2;
  const perHead = (<usize>capacity) * bytes;
  for (let h = 0; h < kvHeads; h++) {
    let k = qkv + <usize>(heads + h) * bytes;
    for (let r = 0; r < rows; r++) {
      const at = start + r;
      let to = keys + (<usize>(at >> 3) * bytes << 3) + (<usize>(at & 7) << 2);
      for (let i: usize = 0; i < bytes; i += 4) {
        store<f32>(to, load<f32>(k + i));
        to += 32;
      }
      k += ld;
    }
    const v = qkv + <usize>(heads + kvHeads + h) * bytes;
    packStrided(v, ld, rows, dim, values + (<usize>start << 5), capacity);
    keys += perHead;
    values += perHead;
  }
}

/** Softmax of `scale · x[0 … count)` in place; `x[count … padded)` becomes 0. `padded % 4 == 0`. */
export function softmaxRow(x: usize, count: i32, padded: i32, scale: f32): void {
  const end = x + (<usize>count << 2);
  const padEnd = x + (<usize>padded << 2);
  for (let p = end; p < padEnd; p += 4) store<f32>(p, -Infinity);
  let top = f32x4.splat(-Infinity);
  for (let p = x; p < padEnd; p += 16) top = f32x4.pmax(top, v128.load(p));
  const shift = f32x4.splat(max4(top) * scale);
  const factor = f32x4.splat(scale);
  let total = f32x4.splat(0);
  for (let p = x; p < padEnd; p += 16) {
    const e = exp4(f32x4.sub(f32x4.mul(v128.load(p), factor), shift));
    v128.store(p, e);
    total = f32x4.add(total, e);
  }
  const inverse = f32x4.splat(<f32>1 / sum4(total));
  for (let p = x; p < padEnd; p += 16) v128.store(p, f32x4.mul(v128.load(p), inverse));
}

/**
 * Attention of `rows` consecutive queries, the first at position `start`, over a cache that holds every
 * position up to the last of them. `probs` receives a row of `ldp` bytes (room for the last position + 1,
 * rounded up to 8) per query, and 5 floats more at its end; head h writes at `probs + h · probsPerHead` (0: the heads reuse one area).
 */
export function attention(
  qkv: usize, ld: usize, rows: i32, start: i32, heads: i32, kvHeads: i32, dim: i32,
  keys: usize, values: usize, capacity: i32, scale: f32,
  probs: usize, ldp: usize, probsPerHead: usize, out: usize, ldo: usize,
): void {
  const bytes = (<usize>dim) << 2;
  const perHead = (<usize>capacity) * bytes;
  const group = heads / kvHeads;
  for (let h = 0; h < heads; h++) {
    const k = keys + <usize>(h / group) * perHead;
    const v = values + <usize>(h / group) * perHead;
    const q = qkv + <usize>h * bytes;
    const o = out + <usize>h * bytes;
    const area = probs + <usize>h * probsPerHead;
    for (let r = 0; r < rows; r += ROWS) {
      const n = min(ROWS, rows - r);
      const count = start + r + n;
      const padded = (count + 7) & ~7;
      const p = area + <usize>r * ldp;
      for (let j = 0; j < padded; j += 8) {
        tiles(n, q + <usize>r * ld, ld, dim, k + <usize>j * bytes, p + (j << 2), ldp, 8, false);
      }
      for (let i = 0; i < n; i++) softmaxRow(p + <usize>i * ldp, start + r + i + 1, padded, scale);
      for (let j = 0; j < dim; j += 8) {
        const panel = v + ((<usize>j * <usize>capacity) << 2);
        tiles(n, p, ldp, count, panel, o + <usize>r * ldo + (j << 2), ldo, 8, false);
      }
    }
  }
}

/** Floats of scratch that `attentionBackward` needs for a sequence of `length` with rows of `padded` floats. */
export function attentionBackwardScratch(length: i32, padded: i32, dim: i32): i32 {
  return length * padded + 4 * padded * dim + ROWS;
}

/**
 * Writes the gradient of `qkv` (rotated queries and keys) of one whole sequence of `length` tokens to `dqkv`,
 * given the probabilities that `attention` left and the gradient `dout` of its output.
 */
export function attentionBackward(
  qkv: usize, ld: usize, length: i32, heads: i32, kvHeads: i32, dim: i32, scale: f32,
  probs: usize, ldp: usize, probsPerHead: usize, dout: usize, ldo: usize, dqkv: usize, scratch: usize,
): void {
  const bytes = (<usize>dim) << 2;
  const group = heads / kvHeads;
  const padded = (length + 7) & ~7;
  const panels = (<usize>padded) * bytes;
  const keys = scratch;
  const values = keys + panels;
  const queries = values + panels;
  const douts = queries + panels;
  const ds = douts + panels;
  for (let h = 0; h < heads; h++) {
    const kv = h / group;
    const first = h % group == 0;
    const q = qkv + <usize>h * bytes;
    const d = dout + <usize>h * bytes;
    const dq = dqkv + <usize>h * bytes;
    const dk = dqkv + <usize>(heads + kv) * bytes;
    const dv = dqkv + <usize>(heads + kvHeads + kv) * bytes;
    const p = probs + <usize>h * probsPerHead;
    if (first) {
      packStrided(qkv + <usize>(heads + kv) * bytes, ld, length, dim, keys, length);
      packTransposed(qkv + <usize>(heads + kvHeads + kv) * bytes, ld, length, dim, values);
    }
    packStrided(q, ld, length, dim, queries, length);
    packStrided(d, ldo, length, dim, douts, length);
    for (let r = 0; r < length; r += ROWS) {
      const n = min(ROWS, length - r);
      const limit = (r + n + 7) & ~7;
      const row = ds + <usize>r * ldp;
      for (let j = 0; j < limit; j += 8) {
        tiles(n, d + <usize>r * ldo, ldo, dim, values + <usize>j * bytes, row + (j << 2), ldp, 8, false);
      }
      for (let i = 0; i < n; i++) softmaxRowBackward(p + <usize>(r + i) * ldp, row + <usize>i * ldp, limit, scale);
      for (let j = 0; j < dim; j += 8) {
        const panel = keys + ((<usize>j * <usize>length) << 2);
        tiles(n, row, ldp, r + n, panel, dq + <usize>r * ld + (j << 2), ld, 8, false);
      }
    }
    for (let r = 0; r < length; r += ROWS) {
      const n = min(ROWS, length - r);
      const depth = length - r;
      const corner = <usize>r * ldp + (<usize>r << 2);
      for (let j = 0; j < dim; j += 8) {
        const at = (<usize>j * <usize>length + (<usize>r << 3)) << 2;
        const to = <usize>r * ld + (j << 2);
        tileTransposed(n, ds + corner, ldp, depth, queries + at, dk + to, ld, 8, !first);
        tileTransposed(n, p + corner, ldp, depth, douts + at, dv + to, ld, 8, !first);
      }
    }
  }
}

/** `d = scale · p · (d − Σ p d)` over `count` floats, a multiple of 4. */
function softmaxRowBackward(p: usize, d: usize, count: i32, scale: f32): void {
  const bytes = (<usize>count) << 2;
  let dots = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    dots = f32x4.add(dots, f32x4.mul(v128.load(p + i), v128.load(d + i)));
  }
  const mean = f32x4.splat(sum4(dots));
  const factor = f32x4.splat(scale);
  for (let i: usize = 0; i < bytes; i += 16) {
    const g = f32x4.sub(v128.load(d + i), mean);
    v128.store(d + i, f32x4.mul(f32x4.mul(v128.load(p + i), factor), g));
  }
}
