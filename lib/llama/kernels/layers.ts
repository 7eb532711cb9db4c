// The parts of a Llama layer that work row by row: norm, rotary positions, gate, embedding.
// Pointers and strides in bytes; feature counts are multiples of four.
import { exp4, sum4 } from "./exp";

/** `out = w · x / √(mean(x²) + eps)`; the reciprocal root goes to `inverse[row]` when that is not 0. */
export function rmsNorm(x: usize, w: usize, rows: i32, n: i32, eps: f32, out: usize, inverse: usize): void {
  const bytes = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    let squares = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const v = v128.load(x + i);
      squares = f32x4.add(squares, f32x4.mul(v, v));
    }
    const s: f32 = <f32>1 / sqrt<f32>(sum4(squares) / <f32>n + eps);
    if (inverse) store<f32>(inverse + (r << 2), s);
    const scale = f32x4.splat(s);
    for (let i: usize = 0; i < bytes; i += 16) {
      v128.store(out + i, f32x4.mul(v128.load(w + i), f32x4.mul(v128.load(x + i), scale)));
    }
    x += bytes;
    out += bytes;
  }
}

/** Adds to `dx` and `dw` what `dy` says through a `rmsNorm` of `x` whose reciprocal roots are `inverse`. */
export function rmsNormBackward(
  dy: usize, x: usize, w: usize, inverse: usize, rows: i32, n: i32, dx: usize, dw: usize,
): void {
  const bytes = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    const s = load<f32>(inverse + (r << 2));
    const scale = f32x4.splat(s);
    let dots = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const g = v128.load(dy + i);
      const hat = f32x4.mul(v128.load(x + i), scale);
      v128.store(dw + i, f32x4.add(v128.load(dw + i), f32x4.mul(g, hat)));
      dots = f32x4.add(dots, f32x4.mul(f32x4.mul(g, v128.load(w + i)), hat));
    }
    const mean = f32x4.splat(sum4(dots) / <f32>n);
    for (let i: usize = 0; i < bytes; i += 16) {
      const g = f32x4.mul(v128.load(dy + i), v128.load(w + i));
      const hat = f32x4.mul(v128.load(x + i), scale);
      const d = f32x4.mul(scale, f32x4.sub(g, f32x4.mul(hat, mean)));
      v128.store(dx + i, f32x4.add(v128.load(dx + i), d));
    }
    dy += bytes;
    x += bytes;
    dx += bytes;
  }
}

/**
 * Rotates the first `heads` heads of every row in place (Hugging Face's rotate_half: pairs i, i + dim/2).
 * `positions[row]` (i32) picks the row of the tables `cos` and `sin`, `[positions][dim / 2]`.
 * `backward` rotates by the opposite angle. `dim` is a multiple of 8.
 */
export function rope(
  x: usize, ld: usize, rows: i32, positions: usize, heads: i32, dim: i32, cos: usize, sin: usize, backward: bool,
): void {
  const half = (<usize>dim) << 1;
  for (let r = 0; r < rows; r++) {
    const at = <usize>load<i32>(positions + (r << 2)) * half;
    let head = x + <usize>r * ld;
    for (let h = 0; h < heads; h++) {
      for (let i: usize = 0; i < half; i += 16) {
        const c = v128.load(cos + at + i);
        let s = v128.load(sin + at + i);
        if (backward) s = f32x4.neg(s);
        const a = v128.load(head + i), b = v128.load(head + half + i);
        v128.store(head + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
        v128.store(head + half + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
      }
      head += half << 1;
    }
  }
}

@inline
function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** `out[row, i] = silu(gate) · up`, where a row of `gateUp` is n gates, then n ups. */
export function swiglu(gateUp: usize, rows: i32, n: i32, out: usize): void {
  const bytes = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    for (let i: usize = 0; i < bytes; i += 16) {
      const g = v128.load(gateUp + i);
      v128.store(out + i, f32x4.mul(f32x4.mul(g, sigmoid4(g)), v128.load(gateUp + bytes + i)));
    }
    gateUp += bytes << 1;
    out += bytes;
  }
}

/** Replaces `gateUp` by its gradient, given the gradient `d` of `swiglu`'s output. */
export function swigluBackward(d: usize, gateUp: usize, rows: i32, n: i32): void {
  const bytes = (<usize>n) << 2;
  const one = f32x4.splat(1);
  for (let r = 0; r < rows; r++) {
    for (let i: usize = 0; i < bytes; i += 16) {
      const g = v128.load(gateUp + i), u = v128.load(gateUp + bytes + i), dy = v128.load(d + i);
      const s = sigmoid4(g);
      const slope = f32x4.mul(s, f32x4.add(one, f32x4.mul(g, f32x4.sub(one, s))));
      v128.store(gateUp + i, f32x4.mul(f32x4.mul(dy, u), slope));
      v128.store(gateUp + bytes + i, f32x4.mul(dy, f32x4.mul(g, s)));
    }
    gateUp += bytes << 1;
    d += bytes;
  }
}

/** `out[row] = table[ids[row]]`, rows of n floats; ids are i32. */
export function gather(table: usize, ids: usize, rows: i32, n: i32, out: usize): void {
  const bytes = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    memory.copy(out, table + <usize>load<i32>(ids + (r << 2)) * bytes, bytes);
    out += bytes;
  }
}

/** `table[ids[row]] += d[row]`, rows in ascending order. */
export function scatterAdd(d: usize, ids: usize, rows: i32, n: i32, table: usize): void {
  const bytes = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    const to = table + <usize>load<i32>(ids + (r << 2)) * bytes;
    for (let i: usize = 0; i < bytes; i += 16) {
      v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(d + i)));
    }
    d += bytes;
  }
}
