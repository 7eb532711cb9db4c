// Entry point of kernels.wasm: everything that TypeScript calls. `npm run build:kernels` compiles it.
export { gemm, gemmTransposed, gemmTransposedScratch, pack, packTransposed } from "./gemm";
export { gather, rmsNorm, rmsNormBackward, rope, scatterAdd, swiglu, swigluBackward } from "./layers";
export { attention, attentionBackward, attentionBackwardScratch, cacheKeysValues } from "./attention";
export { logSoftmax, logSoftmaxBackward } from "./loss";
export { attendPages, pageFloats, pagePositions, pickRows, sampleToken, storePages } from "./decode";
export { adamw, add, sumOfSquares } from "./vectors";

/** The first byte that the module's own constants leave free. */
export function heapBase(): usize {
  return __heap_base;
}
