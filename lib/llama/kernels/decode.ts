// What decoding needs beyond training: keys and values in pages that sequences share, and sampling.
//
// A page holds PAGE positions of one layer: for each key/value head the keys as `[PAGE / 8][dim][8]`, then the
// values as `[PAGE][dim]`. A layer's pages lie one after another. A sequence is a table of (page, positions
// used) pairs of i32; all but the last page of each part may be partly filled, so that a prompt's pages can be
// followed by pages of its own without copying.
//
// Every sum runs in the order of `attention.ts` and `loss.ts`, so that a sampled token's log-probability has
// the same bits as in the training forward.
import { softmaxRow } from "./attention";
import { exp4, max4, sum4 } from "./exp";

const PAGE: i32 = 16;

/** Floats of one page of one layer. */
export function pageFloats(kvHeads: i32, dim: i32): i32 {
  return 2 * PAGE * kvHeads * dim;
}

/** Positions of one page. */
export function pagePositions(): i32 {
  return PAGE;
}

/** Writes each row's key and value to its slot (i32: page · PAGE + offset) of the layer's pages. */
export function storePages(
  qkv: usize, ld: usize, rows: i32, heads: i32, kvHeads: i32, dim: i32, slots: usize, layer: usize,
): void {
  const bytes = (<usize>dim) << 2;
  const half = <usize>PAGE * bytes;
  const pageBytes = (half << 1) * <usize>kvHeads;
  for (let r = 0; r < rows; r++) {
    const slot = load<i32>(slots + (r << 2));
    const at = <usize>(slot & (PAGE - 1));
    let base = layer + <usize>(slot / PAGE) * pageBytes;
    let k = qkv + <usize>r * ld + <usize>heads * bytes;
    let v = k + <usize>kvHeads * bytes;
    for (let h = 0; h < kvHeads; h++) {
      let to = base + ((at >> 3) * bytes << 3) + ((at & 7) << 2);
      const into = base + half + at * bytes;
      for (let i: usize = 0; i < bytes; i += 16) {
        const four = v128.load(k + i);
        store<f32>(to, f32x4.extract_lane(four, 0));
        store<f32>(to, f32x4.extract_lane(four, 1), 32);
        store<f32>(to, f32x4.extract_lane(four, 2), 64);
        store<f32>(to, f32x4.extract_lane(four, 3), 96);
        v128.store(into + i, v128.load(v + i));
        to += 128;
      }
      base += half << 1;
      k += bytes;
      v += bytes;
    }
  }
}

/** Sixteen dot products of `q` with one page of keys. */
@inline
function dotPage(q: usize, keys: usize, bytes: usize, out: usize): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  let next = keys + (bytes << 3);
  const end = q + bytes;
  while (q < end) {
    let x = v128.load32_splat(q);
    c0 = f32x4.add(c0, f32x4.mul(x, v128.load(keys)));
    c1 = f32x4.add(c1, f32x4.mul(x, v128.load(keys, 16)));
    c2 = f32x4.add(c2, f32x4.mul(x, v128.load(next)));
    c3 = f32x4.add(c3, f32x4.mul(x, v128.load(next, 16)));
    x = v128.load32_splat(q, 4);
    c0 = f32x4.add(c0, f32x4.mul(x, v128.load(keys, 32)));
    c1 = f32x4.add(c1, f32x4.mul(x, v128.load(keys, 48)));
    c2 = f32x4.add(c2, f32x4.mul(x, v128.load(next, 32)));
    c3 = f32x4.add(c3, f32x4.mul(x, v128.load(next, 48)));
    q += 8;
    keys += 64;
    next += 64;
  }
  v128.store(out, c0);
  v128.store(out, c1, 16);
  v128.store(out, c2, 32);
  v128.store(out, c3, 48);
}

/** Eight dot products of `q` with the first half of a page of keys. */
@inline
function dotHalf(q: usize, keys: usize, bytes: usize, out: usize): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0);
  const end = q + bytes;
  while (q < end) {
    const x = v128.load32_splat(q);
    c0 = f32x4.add(c0, f32x4.mul(x, v128.load(keys)));
    c1 = f32x4.add(c1, f32x4.mul(x, v128.load(keys, 16)));
    q += 4;
    keys += 32;
  }
  v128.store(out, c0);
  v128.store(out, c1, 16);
}

/** `out[0 … 32) = Σ_t p[t] · value_t[0 … 32)` along a table, `values` pointing into page 0. */
function weigh32(p: usize, table: usize, length: i32, values: usize, pageBytes: usize, bytes: usize, out: usize): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  let c4 = f32x4.splat(0), c5 = f32x4.splat(0), c6 = f32x4.splat(0), c7 = f32x4.splat(0);
  for (let left = length; left > 0; table += 8) {
    let v = values + <usize>load<i32>(table) * pageBytes;
    const count = min(load<i32>(table, 4), left);
    left -= count;
    const end = p + ((<usize>count) << 2);
    while (p < end) {
      const x = v128.load32_splat(p);
      c0 = f32x4.add(c0, f32x4.mul(x, v128.load(v)));
      c1 = f32x4.add(c1, f32x4.mul(x, v128.load(v, 16)));
      c2 = f32x4.add(c2, f32x4.mul(x, v128.load(v, 32)));
      c3 = f32x4.add(c3, f32x4.mul(x, v128.load(v, 48)));
      c4 = f32x4.add(c4, f32x4.mul(x, v128.load(v, 64)));
      c5 = f32x4.add(c5, f32x4.mul(x, v128.load(v, 80)));
      c6 = f32x4.add(c6, f32x4.mul(x, v128.load(v, 96)));
      c7 = f32x4.add(c7, f32x4.mul(x, v128.load(v, 112)));
      p += 4;
      v += bytes;
    }
  }
  v128.store(out, c0);
  v128.store(out, c1, 16);
  v128.store(out, c2, 32);
  v128.store(out, c3, 48);
  v128.store(out, c4, 64);
  v128.store(out, c5, 80);
  v128.store(out, c6, 96);
  v128.store(out, c7, 112);
}

/** As `weigh32`, for eight values. */
function weigh8(p: usize, table: usize, length: i32, values: usize, pageBytes: usize, bytes: usize, out: usize): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0);
  for (let left = length; left > 0; table += 8) {
    let v = values + <usize>load<i32>(table) * pageBytes;
    const count = min(load<i32>(table, 4), left);
    left -= count;
    const end = p + ((<usize>count) << 2);
    while (p < end) {
      const x = v128.load32_splat(p);
      c0 = f32x4.add(c0, f32x4.mul(x, v128.load(v)));
      c1 = f32x4.add(c1, f32x4.mul(x, v128.load(v, 16)));
      p += 4;
      v += bytes;
    }
  }
  v128.store(out, c0);
  v128.store(out, c1, 16);
}

/**
 * Attention of single queries, each over its own table (i32 pointer per row) of `lengths[row]` positions.
 * `scores` is scratch for the longest row plus 16 floats.
 */
export function attendPages(
  qkv: usize, ld: usize, rows: i32, heads: i32, kvHeads: i32, dim: i32, tables: usize, lengths: usize,
  layer: usize, scale: f32, scores: usize, out: usize, ldo: usize,
): void {
  const bytes = (<usize>dim) << 2;
  const half = <usize>PAGE * bytes;
  const pageBytes = (half << 1) * <usize>kvHeads;
  const group = heads / kvHeads;
  for (let r = 0; r < rows; r++) {
    const table = <usize>load<i32>(tables + (r << 2));
    const length = load<i32>(lengths + (r << 2));
    for (let h = 0; h < heads; h++) {
      const q = qkv + <usize>r * ld + <usize>h * bytes;
      const keys = layer + <usize>(h / group) * (half << 1);
      let to = scores;
      let entry = table;
      for (let left = length; left > 0; entry += 8) {
        const count = min(load<i32>(entry, 4), left);
        const page = keys + <usize>load<i32>(entry) * pageBytes;
        // Lanes beyond `count` hold whatever was there; the next page or the padding overwrites them.
        if (count > 8) dotPage(q, page, bytes, to);
        else dotHalf(q, page, bytes, to);
        to += (<usize>count) << 2;
        left -= count;
      }
      softmaxRow(scores, length, (length + 7) & ~7, scale);
      const o = out + <usize>r * ldo + <usize>h * bytes;
      let i: usize = 0;
      for (; i + 128 <= bytes; i += 128) {
        weigh32(scores, table, length, keys + half + i, pageBytes, bytes, o + i);
      }
      for (; i < bytes; i += 32) weigh8(scores, table, length, keys + half + i, pageBytes, bytes, o + i);
    }
  }
}

/** `out[row] = x[indices[row]]`, rows of n floats. */
export function pickRows(x: usize, indices: usize, rows: i32, n: i32, out: usize): void {
  const bytes = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    memory.copy(out, x + <usize>load<i32>(indices + (r << 2)) * bytes, bytes);
    out += bytes;
  }
}

/**
 * Draws a token from softmax(logits · inverseTemperature): the first whose cumulative probability exceeds
 * `uniform` in [0, 1); the most likely one (the first of equals) when `greedy`. −1 when the logits hold NaN or
 * +infinity. `logprob` (f32 pointer) receives its log-probability; `scratch` takes n floats, padded to 4.
 */
export function sampleToken(
  logits: usize, n: i32, inverseTemperature: f32, greedy: bool, uniform: f64, scratch: usize, logprob: usize,
): i32 {
  const padded = ((<usize>n + 3) & ~3) << 2;
  memory.copy(scratch, logits, (<usize>n) << 2);
  for (let i = (<usize>n) << 2; i < padded; i += 4) store<f32>(scratch + i, -Infinity);
  let top = f32x4.splat(-Infinity);
  for (let i: usize = 0; i < padded; i += 16) top = f32x4.pmax(top, v128.load(scratch + i));
  const highest = max4(top) * inverseTemperature;
  const factor = f32x4.splat(inverseTemperature);
  const shift = f32x4.splat(highest);
  let total = f32x4.splat(0);
  for (let i: usize = 0; i < padded; i += 16) {
    const e = exp4(f32x4.sub(f32x4.mul(v128.load(scratch + i), factor), shift));
    v128.store(scratch + i, e);
    total = f32x4.add(total, e);
  }
  const sum = sum4(total);
  if (!(sum >= 1 && sum < Infinity)) return -1;
  let token = 0;
  if (greedy) {
    let best = load<f32>(logits);
    for (let i = 1; i < n; i++) {
      const z = load<f32>(logits + ((<usize>i) << 2));
      if (z > best) {
        best = z;
        token = i;
      }
    }
  } else {
    let mass: f64 = 0;
    for (let i: usize = 0; i < padded; i += 4) mass += <f64>load<f32>(scratch + i);
    const threshold = uniform * mass;
    mass = 0;
    for (let i = 0; i < n; i++) {
      mass += <f64>load<f32>(scratch + ((<usize>i) << 2));
      if (mass > threshold) {
        token = i;
        break;
      }
    }
  }
  const chosen: f32 = load<f32>(logits + ((<usize>token) << 2)) * inverseTemperature - highest;
  store<f32>(logprob, chosen - <f32>NativeMath.log(<f64>sum));
  return token;
}
