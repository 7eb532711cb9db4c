/**
 * Cosines and sines of rotary positions, `[positions][dim / 2]` each (Su et al. 2021, RoFormer, equation 34,
 * in the pairing of Hugging Face's Llama). In double precision, then rounded once.
 */
export function ropeTables(
  positions: number,
  dim: number,
  theta: number,
): { cos: Float32Array; sin: Float32Array } {
  const half = dim / 2;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let i = 0; i < half; i++) {
    const frequency = theta ** ((-2 * i) / dim);
    for (let p = 0; p < positions; p++) {
      cos[p * half + i] = Math.cos(p * frequency);
      sin[p * half + i] = Math.sin(p * frequency);
    }
  }
  return { cos, sin };
}
