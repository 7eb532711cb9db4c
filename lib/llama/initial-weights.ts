/** Random weights to start training from. */
import { createRandom } from "../core/random.js";
import type { LlamaConfig } from "./config.js";
import { layoutOf } from "./layout.js";

/**
 * Norms 1; everything else normal with standard deviation `std` (default 0.05: Llama's 0.02 is for widths of
 * thousands), and projections into the residual stream smaller by √(2 · layers), as in GPT-2.
 */
export function initialWeights(config: LlamaConfig, seed: number, std = 0.05): Float32Array {
  const layout = layoutOf(config);
  const weights = new Float32Array(layout.size);
  const random = createRandom(seed);
  for (const { name, shape, offset, size } of layout.tensors) {
    if (shape.length === 1) {
      weights.fill(1, offset, offset + size);
      continue;
    }
    const intoResidual = name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight");
    const deviation = intoResidual ? std / Math.sqrt(2 * config.layers) : std;
    for (let i = 0; i < size; i++) weights[offset + i] = deviation * random.normal();
  }
  return weights;
}
