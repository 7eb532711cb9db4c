// Whole arrays at once: sums of gradients, their norm, AdamW. Any n; pointers in bytes.

/** `y += x`. */
export function add(y: usize, x: usize, n: i32): void {
  const end = y + ((<usize>n) << 2);
  const whole = y + ((<usize>(n & ~3)) << 2);
  for (; y < whole; y += 16, x += 16) v128.store(y, f32x4.add(v128.load(y), v128.load(x)));
  for (; y < end; y += 4, x += 4) store<f32>(y, load<f32>(y) + load<f32>(x));
}

/** Σ x², in double precision. */
export function sumOfSquares(x: usize, n: i32): f64 {
  let sum: f64 = 0;
  const end = x + ((<usize>n) << 2);
  for (; x < end; x += 4) {
    const v = <f64>load<f32>(x);
    sum += v * v;
  }
  return sum;
}

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2, as in PyTorch): decoupled weight decay, bias-corrected moments.
 * The gradient is multiplied by `clip` first. `correction1|2` are 1 − β1^t and √(1 − β2^t).
 */
export function adamw(
  w: usize, g: usize, m: usize, v: usize, n: i32, clip: f32, rate: f32, beta1: f32, beta2: f32, eps: f32,
  decay: f32, correction1: f32, correction2: f32,
): void {
  const step = rate / correction1;
  const keep: f32 = <f32>1 - rate * decay;
  const rest1: f32 = <f32>1 - beta1;
  const rest2: f32 = <f32>1 - beta2;
  const bytes = (<usize>n) << 2;
  for (let i: usize = 0; i < bytes; i += 4) {
    const grad = load<f32>(g + i) * clip;
    const m1 = beta1 * load<f32>(m + i) + rest1 * grad;
    const v1 = beta2 * load<f32>(v + i) + rest2 * (grad * grad);
    store<f32>(m + i, m1);
    store<f32>(v + i, v1);
    store<f32>(w + i, load<f32>(w + i) * keep - (step * m1) / (sqrt<f32>(v1) / correction2 + eps));
  }
}
