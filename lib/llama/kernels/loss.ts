// From logits to log-probabilities and back. Rows of n floats, any n; pointers in bytes.
import { exp4, max4, sum4 } from "./exp";

/**
 * Replaces each row of logits z (stride `ld` bytes) by softmax(z · inverseTemperature), and writes per row the
 * log-probability of `targets[row]` (i32; any negative target: skipped) and the entropy in nats; either
 * pointer may be 0. Rows must have room up to a multiple of 4 floats; what lies beyond n becomes 0.
 */
export function logSoftmax(
  logits: usize, ld: usize, rows: i32, n: i32, inverseTemperature: f32,
  targets: usize, logprobs: usize, entropies: usize,
): void {
  const padded = ((<usize>n + 3) & ~3) << 2;
  const factor = f32x4.splat(inverseTemperature);
  for (let r = 0; r < rows; r++) {
    const x = logits + <usize>r * ld;
    for (let p = x + ((<usize>n) << 2); p < x + padded; p += 4) store<f32>(p, -Infinity);
    let top = f32x4.splat(-Infinity);
    for (let i: usize = 0; i < padded; i += 16) top = f32x4.pmax(top, v128.load(x + i));
    const highest = max4(top) * inverseTemperature;
    const target = targets ? load<i32>(targets + (r << 2)) : -1;
    const chosen: f32 = target >= 0 ? load<f32>(x + (<usize>target << 2)) * inverseTemperature - highest : 0;
    const shift = f32x4.splat(highest);
    let total = f32x4.splat(0);
    let weighted = f32x4.splat(0);
    const tiny = f32x4.splat(-100);
    for (let i: usize = 0; i < padded; i += 16) {
      const z = f32x4.sub(f32x4.mul(v128.load(x + i), factor), shift);
      const e = exp4(z);
      v128.store(x + i, e);
      total = f32x4.add(total, e);
      weighted = f32x4.add(weighted, f32x4.mul(e, f32x4.pmax(tiny, z)));
    }
    const sum = sum4(total);
    const log = <f32>NativeMath.log(<f64>sum);
    if (logprobs && target >= 0) store<f32>(logprobs + (r << 2), chosen - log);
    if (entropies) store<f32>(entropies + (r << 2), log - sum4(weighted) / sum);
    const inverse = f32x4.splat(<f32>1 / sum);
    for (let i: usize = 0; i < padded; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), inverse));
  }
}

/** Turns probabilities left by `logSoftmax` into the gradient of the logits, given dLoss/dlogprob per row. */
export function logSoftmaxBackward(
  probs: usize, ld: usize, rows: i32, n: i32, inverseTemperature: f32, targets: usize, coefficients: usize,
): void {
  const padded = ((<usize>n + 3) & ~3) << 2;
  for (let r = 0; r < rows; r++) {
    const x = probs + <usize>r * ld;
    const c = load<f32>(coefficients + (r << 2)) * inverseTemperature;
    const at = x + (<usize>load<i32>(targets + (r << 2)) << 2);
    const factor = f32x4.splat(-c);
    for (let i: usize = 0; i < padded; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), factor));
    store<f32>(at, load<f32>(at) + c);
  }
}
