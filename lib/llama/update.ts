/** One optimiser step on flat arrays: shard gradients summed in order, clipped, AdamW. */
import { CovoteError } from "../core/errors.js";
import type { LlamaConfig } from "./config.js";
import type { Kernels } from "./kernels.js";
import { layoutOf } from "./layout.js";

export interface UpdateOptions {
  learningRate: number;
  /** Global gradient norm above which the gradient is scaled down to it; Infinity: never. Default 1. */
  clip?: number;
  /** Decoupled weight decay, of matrices only (not of norms). Default 0. */
  weightDecay?: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.95. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
}

export interface UpdateInput {
  /** Changed in place, as are both moments. */
  weights: Float32Array;
  moment1: Float32Array;
  moment2: Float32Array;
  /** Gradients of shards, in the order in which to sum them. */
  gradients: readonly Float32Array[];
  /** Of this update, from 1. */
  step: number;
  options: UpdateOptions;
}

/** Returns the norm of the gradient before clipping. `failed_precondition`, nothing changed, when not finite. */
export function createUpdate(config: LlamaConfig, kernels: Kernels): (input: UpdateInput) => number {
  const { fn } = kernels;
  const { size, tensors } = layoutOf(config);
  const [w, g, m, v, part] = [0, 1, 2, 3, 4].map(() => kernels.alloc(size)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return ({ weights, moment1, moment2, gradients, step, options }) => {
    const { f32 } = kernels;
    gradients.forEach((gradient, i) => {
      f32.set(gradient, (i === 0 ? g : part) >>> 2);
      if (i > 0) fn.add(g, part, size);
    });
    const norm = Math.sqrt(fn.sumOfSquares(g, size));
    if (!Number.isFinite(norm)) {
      throw new CovoteError(
        "failed_precondition",
        `llama: the gradient's norm is ${norm}; lower the learning rate or look at the coefficients`,
      );
    }
    const { learningRate, clip = 1, weightDecay = 0, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8 } = options;
    const factor = norm > clip ? clip / norm : 1;
    f32.set(weights, w >>> 2);
    f32.set(moment1, m >>> 2);
    f32.set(moment2, v >>> 2);
    const correction1 = 1 - power(beta1, step);
    const correction2 = Math.sqrt(1 - power(beta2, step));
    for (const { offset, size: n, shape } of tensors) {
      const at = offset * 4;
      const decay = shape.length === 1 ? 0 : weightDecay;
      fn.adamw(
        w + at,
        g + at,
        m + at,
        v + at,
        n,
        factor,
        learningRate,
        beta1,
        beta2,
        epsilon,
        decay,
        correction1,
        correction2,
      );
    }
    weights.set(kernels.floats(w, size));
    moment1.set(kernels.floats(m, size));
    moment2.set(kernels.floats(v, size));
    return norm;
  };
}

/** By multiplication, so that the bits do not depend on a library's `pow`. */
function power(base: number, exponent: number): number {
  let result = 1;
  for (let i = 0; i < exponent; i++) result *= base;
  return result;
}
