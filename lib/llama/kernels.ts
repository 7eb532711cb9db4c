/**
 * The numeric kernels: one WebAssembly instance with its own memory, for one thread.
 *
 * - Deterministic: no relaxed SIMD, fixed order of every sum, own exp and log. The same inputs give the same
 *   bits on every machine, and a row's result never depends on which other rows are computed with it.
 * - Pointers are byte offsets into the instance's memory and stay valid for ever; typed-array views (`f32`,
 *   `i32`, `floats`) die whenever memory grows, so take them where you use them and drop them at once.
 * - Sources in `kernels/*.ts` (AssemblyScript), compiled by `npm run build:kernels` to the committed
 *   `kernels/kernels.wasm`. Strides (`ld…`) and pointers are in bytes, counts in elements.
 */
import { readFileSync } from "node:fs";
import { CovoteError } from "../core/errors.js";
import { packagePath } from "../core/package-root.js";
import type { DecodeFunctions } from "./kernels-decode.js";

/** The part of the WebAssembly interface used here; Node's own types leave it out. */
declare namespace WebAssembly {
  class Memory {
    constructor(limits: { initial: number; maximum: number });
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
}

/** What kernels.wasm exports; the contracts are in the sources. Booleans are 0 or 1. */
export interface KernelFunctions extends DecodeFunctions {
  heapBase(): number;
  /** Weight `src[rows = out, cols = in]` as panels for y = x · srcᵀ; takes `panelFloats(rows, cols)`. */
  packTransposed(src: number, ld: number, rows: number, cols: number, dst: number): void;
  /** Matrix `src[rows = k, cols = n]` as panels for c = a · src; takes `panelFloats(cols, rows)`. */
  pack(src: number, ld: number, rows: number, cols: number, dst: number): void;
  /** c[rows, n] = a[rows, k] · panels, or `c += …`. */
  gemm(
    a: number,
    lda: number,
    rows: number,
    k: number,
    panels: number,
    n: number,
    c: number,
    ldc: number,
    add: number,
  ): void;
  gemmTransposedScratch(m: number, n: number): number;
  /** c[m, n] += a[rows, m]ᵀ · b[rows, n]. */
  gemmTransposed(
    a: number,
    lda: number,
    b: number,
    ldb: number,
    rows: number,
    m: number,
    n: number,
    c: number,
    ldc: number,
    scratch: number,
  ): void;
  gather(table: number, ids: number, rows: number, n: number, out: number): void;
  scatterAdd(d: number, ids: number, rows: number, n: number, table: number): void;
  rmsNorm(x: number, w: number, rows: number, n: number, eps: number, out: number, inverse: number): void;
  rmsNormBackward(
    dy: number,
    x: number,
    w: number,
    inverse: number,
    rows: number,
    n: number,
    dx: number,
    dw: number,
  ): void;
  rope(
    x: number,
    ld: number,
    rows: number,
    positions: number,
    heads: number,
    dim: number,
    cos: number,
    sin: number,
    backward: number,
  ): void;
  swiglu(gateUp: number, rows: number, n: number, out: number): void;
  swigluBackward(d: number, gateUp: number, rows: number, n: number): void;
  /** Keys and values of `rows` positions from `start` on, from rows of (rotated) qkv into a cache. */
  cacheKeysValues(
    qkv: number,
    ld: number,
    rows: number,
    start: number,
    heads: number,
    kvHeads: number,
    dim: number,
    keys: number,
    values: number,
    capacity: number,
  ): void;
  /** Attention of `rows` queries at positions start … start + rows − 1 over a cache that holds them too. */
  attention(
    qkv: number,
    ld: number,
    rows: number,
    start: number,
    heads: number,
    kvHeads: number,
    dim: number,
    keys: number,
    values: number,
    capacity: number,
    scale: number,
    probs: number,
    ldp: number,
    probsPerHead: number,
    out: number,
    ldo: number,
  ): void;
  attentionBackwardScratch(length: number, padded: number, dim: number): number;
  attentionBackward(
    qkv: number,
    ld: number,
    length: number,
    heads: number,
    kvHeads: number,
    dim: number,
    scale: number,
    probs: number,
    ldp: number,
    probsPerHead: number,
    dout: number,
    ldo: number,
    dqkv: number,
    scratch: number,
  ): void;
  /** Logits → probabilities in place, log-probabilities of targets, entropies (pointers may be 0). */
  logSoftmax(
    logits: number,
    ld: number,
    rows: number,
    n: number,
    inverseTemperature: number,
    targets: number,
    logprobs: number,
    entropies: number,
  ): void;
  logSoftmaxBackward(
    probs: number,
    ld: number,
    rows: number,
    n: number,
    inverseTemperature: number,
    targets: number,
    coefficients: number,
  ): void;
  add(y: number, x: number, n: number): void;
  sumOfSquares(x: number, n: number): number;
  adamw(
    w: number,
    g: number,
    m: number,
    v: number,
    n: number,
    clip: number,
    rate: number,
    beta1: number,
    beta2: number,
    eps: number,
    decay: number,
    correction1: number,
    correction2: number,
  ): void;
}

export interface Kernels {
  readonly fn: KernelFunctions;
  /** The whole memory as floats, index = pointer / 4. Dies when memory grows. */
  readonly f32: Float32Array;
  /** The whole memory as integers, index = pointer / 4. Dies when memory grows. */
  readonly i32: Int32Array;
  /** A view of `count` floats at a pointer. Dies when memory grows. */
  floats(pointer: number, count: number): Float32Array;
  /** Room for `count` 4-byte elements, aligned to 64 bytes, not cleared. Grows memory when needed. */
  alloc(count: number): number;
  /** Room for these integers, and the integers in it. */
  allocInts(values: ArrayLike<number>): number;
  /** The allocator is a stack: `release(mark())` frees what was allocated in between. */
  mark(): number;
  release(mark: number): void;
  /** Bytes in use. */
  readonly used: number;
}

/** Floats that the panels of a matrix with `n` columns (of the product) and depth `k` take. */
export function panelFloats(n: number, k: number): number {
  return ((n + 7) >> 3) * 8 * k;
}

const pageBytes = 65536;

/** Memory starts small and grows up to `maxMebibytes` (default 2048); `overloaded` beyond that. */
export function createKernels(options: { maxMebibytes?: number } = {}): Kernels {
  const maximum = Math.min(65536, (options.maxMebibytes ?? 2048) * 16);
  const memory = new WebAssembly.Memory({ initial: 16, maximum });
  const abort = (): never => {
    throw new CovoteError("internal", "llama kernel aborted");
  };
  const instance = new WebAssembly.Instance(kernelModule(), { env: { memory, abort } });
  const fn = instance.exports as unknown as KernelFunctions;
  let top = (fn.heapBase() + 63) & ~63;
  let f32 = new Float32Array(memory.buffer);
  let i32 = new Int32Array(memory.buffer);

  const grow = (bytes: number): void => {
    const have = memory.buffer.byteLength;
    if (bytes <= have) return;
    // Half as much again, so that growing costs little however often it happens.
    const pages = Math.ceil(Math.max(bytes, Math.min(maximum * pageBytes, have * 1.5)) / pageBytes);
    if (pages > maximum) {
      const mebibytes = Math.ceil(bytes / 1048576);
      throw new CovoteError(
        "overloaded",
        `llama: needs ${mebibytes} MiB of numeric memory, ${maximum / 16} allowed; send fewer tokens at a time`,
      );
    }
    memory.grow(pages - have / pageBytes);
    f32 = new Float32Array(memory.buffer);
    i32 = new Int32Array(memory.buffer);
  };

  const kernels: Kernels = {
    fn,
    get f32() {
      return f32;
    },
    get i32() {
      return i32;
    },
    get used() {
      return top;
    },
    floats: (pointer, count) => f32.subarray(pointer >>> 2, (pointer >>> 2) + count),
    alloc(count) {
      const pointer = top;
      const end = pointer + ((count * 4 + 63) & ~63);
      grow(end);
      top = end;
      return pointer;
    },
    allocInts(values) {
      const pointer = kernels.alloc(values.length);
      i32.set(values, pointer >>> 2);
      return pointer;
    },
    mark: () => top,
    release(mark) {
      top = mark;
    },
  };
  return kernels;
}

let compiled: WebAssembly.Module | undefined;

/** Compiled once per thread; the bytes are code, so sharing them is no shared state. */
function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(packagePath("lib", "llama", "kernels", "kernels.wasm")));
  return compiled;
}
