// Matrix products on panels of eight columns.
//
// Every element of a product is one chain `acc = acc + a[k] * b[k]`, k ascending, whatever the number of
// rows and whichever tile computes it. So a row's result never depends on its neighbours.
//
// Pointers and row strides (`ld…`) are in bytes; counts are in elements.

/** The first `width` (1..8) of eight lanes to memory; `add` adds them to what is there. */
@inline
function put(c: usize, lo: v128, hi: v128, width: i32, add: bool): void {
  if (width == 8) {
    if (add) {
      lo = f32x4.add(v128.load(c), lo);
      hi = f32x4.add(v128.load(c, 16), hi);
    }
    v128.store(c, lo);
    v128.store(c, hi, 16);
  } else {
    putSome(c, lo, hi, width, add);
  }
}

function putSome(c: usize, lo: v128, hi: v128, width: i32, add: bool): void {
  let lanes = lo;
  for (let i = 0; i < width; i++) {
    if (i == 4) lanes = hi;
    const at = c + (i << 2);
    const value = f32x4.extract_lane(lanes, 0);
    store<f32>(at, add ? load<f32>(at) + value : value);
    lanes = i8x16.shuffle(lanes, lanes, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
  }
}

function tile4(a: usize, lda: usize, k: i32, b: usize, c: usize, ldc: usize, width: i32, add: bool): void {
  let a1 = a + lda;
  let a2 = a1 + lda;
  let a3 = a2 + lda;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  const end = b + ((<usize>k) << 5);
  const pairs = b + ((<usize>(k & ~1)) << 5);
  while (b < pairs) {
    let b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = f32x4.add(c00, f32x4.mul(x, b0));
    c01 = f32x4.add(c01, f32x4.mul(x, b1));
    x = v128.load32_splat(a1);
    c10 = f32x4.add(c10, f32x4.mul(x, b0));
    c11 = f32x4.add(c11, f32x4.mul(x, b1));
    x = v128.load32_splat(a2);
    c20 = f32x4.add(c20, f32x4.mul(x, b0));
    c21 = f32x4.add(c21, f32x4.mul(x, b1));
    x = v128.load32_splat(a3);
    c30 = f32x4.add(c30, f32x4.mul(x, b0));
    c31 = f32x4.add(c31, f32x4.mul(x, b1));
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a, 4);
    c00 = f32x4.add(c00, f32x4.mul(x, b0));
    c01 = f32x4.add(c01, f32x4.mul(x, b1));
    x = v128.load32_splat(a1, 4);
    c10 = f32x4.add(c10, f32x4.mul(x, b0));
    c11 = f32x4.add(c11, f32x4.mul(x, b1));
    x = v128.load32_splat(a2, 4);
    c20 = f32x4.add(c20, f32x4.mul(x, b0));
    c21 = f32x4.add(c21, f32x4.mul(x, b1));
    x = v128.load32_splat(a3, 4);
    c30 = f32x4.add(c30, f32x4.mul(x, b0));
    c31 = f32x4.add(c31, f32x4.mul(x, b1));
    a += 8;
    a1 += 8;
    a2 += 8;
    a3 += 8;
    b += 64;
  }
  if (b < end) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = f32x4.add(c00, f32x4.mul(x, b0));
    c01 = f32x4.add(c01, f32x4.mul(x, b1));
    x = v128.load32_splat(a1);
    c10 = f32x4.add(c10, f32x4.mul(x, b0));
    c11 = f32x4.add(c11, f32x4.mul(x, b1));
    x = v128.load32_splat(a2);
    c20 = f32x4.add(c20, f32x4.mul(x, b0));
    c21 = f32x4.add(c21, f32x4.mul(x, b1));
    x = v128.load32_splat(a3);
    c30 = f32x4.add(c30, f32x4.mul(x, b0));
    c31 = f32x4.add(c31, f32x4.mul(x, b1));
  }
  put(c, c00, c01, width, add);
  put(c + ldc, c10, c11, width, add);
  put(c + 2 * ldc, c20, c21, width, add);
  put(c + 3 * ldc, c30, c31, width, add);
}

function tile2(a: usize, lda: usize, k: i32, b: usize, c: usize, ldc: usize, width: i32, add: bool): void {
  let a1 = a + lda;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  const end = b + ((<usize>k) << 5);
  while (b < end) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = f32x4.add(c00, f32x4.mul(x, b0));
    c01 = f32x4.add(c01, f32x4.mul(x, b1));
    x = v128.load32_splat(a1);
    c10 = f32x4.add(c10, f32x4.mul(x, b0));
    c11 = f32x4.add(c11, f32x4.mul(x, b1));
    a += 4;
    a1 += 4;
    b += 32;
  }
  put(c, c00, c01, width, add);
  put(c + ldc, c10, c11, width, add);
}

function tile1(a: usize, k: i32, b: usize, c: usize, width: i32, add: bool): void {
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0);
  const end = b + ((<usize>k) << 5);
  while (b < end) {
    const x = v128.load32_splat(a);
    c0 = f32x4.add(c0, f32x4.mul(x, v128.load(b)));
    c1 = f32x4.add(c1, f32x4.mul(x, v128.load(b, 16)));
    a += 4;
    b += 32;
  }
  put(c, c0, c1, width, add);
}

/** `rows` (any number) rows of `a` times one panel of k × 8. */
@inline
export function tiles(
  rows: i32, a: usize, lda: usize, k: i32, panel: usize, c: usize, ldc: usize, width: i32, add: bool,
): void {
  let r = rows;
  for (; r >= 4; r -= 4) {
    tile4(a, lda, k, panel, c, ldc, width, add);
    a += 4 * lda;
    c += 4 * ldc;
  }
  if (r & 2) {
    tile2(a, lda, k, panel, c, ldc, width, add);
    a += 2 * lda;
    c += 2 * ldc;
  }
  if (r & 1) tile1(a, k, panel, c, width, add);
}

/** Row-major `src[rows, cols]` read as columns: `dst[rows / 8][cols][8]`, missing rows as zeros. */
export function packTransposed(src: usize, ld: usize, rows: i32, cols: i32, dst: usize): void {
  for (let r = 0; r < rows; r += 8) {
    const from = src + <usize>r * ld;
    const n = min(8, rows - r);
    let to = dst + ((<usize>r * <usize>cols) << 2);
    let c = 0;
    if (n == 8) {
      for (; c + 4 <= cols; c += 4) {
        const s = from + (c << 2);
        transpose4(s, ld, to);
        transpose4(s + 4 * ld, ld, to + 16);
        to += 128;
      }
    }
    for (; c < cols; c++) {
      for (let j = 0; j < 8; j++) {
        store<f32>(to + (j << 2), j < n ? load<f32>(from + <usize>j * ld + (c << 2)) : 0);
      }
      to += 32;
    }
  }
}

/** Four rows of four floats at `s`, transposed to `to` with 32 bytes from row to row. */
@inline
function transpose4(s: usize, ld: usize, to: usize): void {
  const r0 = v128.load(s), r1 = v128.load(s + ld), r2 = v128.load(s + 2 * ld), r3 = v128.load(s + 3 * ld);
  const t0 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5), t1 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const t2 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5), t3 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f32>(t0, t2, 0, 1, 4, 5));
  v128.store(to, v128.shuffle<f32>(t0, t2, 2, 3, 6, 7), 32);
  v128.store(to, v128.shuffle<f32>(t1, t3, 0, 1, 4, 5), 64);
  v128.store(to, v128.shuffle<f32>(t1, t3, 2, 3, 6, 7), 96);
}

/** Row-major `src[rows, cols]`: `dst[cols / 8][rows][8]`, missing columns as zeros. */
export function pack(src: usize, ld: usize, rows: i32, cols: i32, dst: usize): void {
  packStrided(src, ld, rows, cols, dst, rows);
}

/** As `pack`, with room for `capacity` rows in every panel. */
@inline
export function packStrided(src: usize, ld: usize, rows: i32, cols: i32, dst: usize, capacity: i32): void {
  for (let c = 0; c < cols; c += 8) {
    let from = src + (c << 2);
    let to = dst + ((<usize>c * <usize>capacity) << 2);
    const n = min(8, cols - c);
    if (n == 8) {
      for (let r = 0; r < rows; r++) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        from += ld;
        to += 32;
      }
    } else {
      for (let r = 0; r < rows; r++) {
        for (let j = 0; j < 8; j++) store<f32>(to + (j << 2), j < n ? load<f32>(from + (j << 2)) : 0);
        from += ld;
        to += 32;
      }
    }
  }
}

/** Floats of left operand that a block of rows may take: three eighths of a 32 KiB first-level cache. */
const BLOCK_FLOATS: i32 = 6144;

/**
 * `c[rows, n] = a[rows, k] · panels` (`add`: `c += …`), with panels of `n` columns from `packTransposed`
 * (c = a · srcᵀ) or `pack` (c = a · src).
 */
export function gemm(
  a: usize, lda: usize, rows: i32, k: i32, panels: usize, n: i32, c: usize, ldc: usize, add: bool,
): void {
  const block = max(8, (BLOCK_FLOATS / k) & ~3);
  for (let r = 0; r < rows; r += block) {
    const count = min(block, rows - r);
    const from = a + <usize>r * lda;
    const to = c + <usize>r * ldc;
    for (let j = 0; j < n; j += 8) {
      const panel = panels + ((<usize>j * <usize>k) << 2);
      tiles(count, from, lda, k, panel, to + (j << 2), ldc, min(8, n - j), add);
    }
  }
}

/**
 * Four columns of `a` (k rows) against one panel: `c[m, width]`, m ≤ 4, where
 * `c[i, j] (+)= Σ_k a[k, i] · panel[k, j]`.
 */
export function tileTransposed(
  m: i32, a: usize, lda: usize, k: i32, b: usize, c: usize, ldc: usize, width: i32, add: bool,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  const end = b + ((<usize>k) << 5);
  while (b < end) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = f32x4.add(c00, f32x4.mul(x, b0));
    c01 = f32x4.add(c01, f32x4.mul(x, b1));
    x = v128.load32_splat(a, 4);
    c10 = f32x4.add(c10, f32x4.mul(x, b0));
    c11 = f32x4.add(c11, f32x4.mul(x, b1));
    x = v128.load32_splat(a, 8);
    c20 = f32x4.add(c20, f32x4.mul(x, b0));
    c21 = f32x4.add(c21, f32x4.mul(x, b1));
    x = v128.load32_splat(a, 12);
    c30 = f32x4.add(c30, f32x4.mul(x, b0));
    c31 = f32x4.add(c31, f32x4.mul(x, b1));
    a += lda;
    b += 32;
  }
  put(c, c00, c01, width, add);
  if (m > 1) put(c + ldc, c10, c11, width, add);
  if (m > 2) put(c + 2 * ldc, c20, c21, width, add);
  if (m > 3) put(c + 3 * ldc, c30, c31, width, add);
}

/** Rows that `gemmTransposed` takes at a time, so that its packed operands stay in the second-level cache. */
const DEPTH: i32 = 128;

/** Floats of scratch that `gemmTransposed` needs. */
export function gemmTransposedScratch(m: i32, n: i32): i32 {
  return DEPTH * (((m + 3) & ~3) + ((n + 7) & ~7));
}

/** `c[m, n] += a[rows, m]ᵀ · b[rows, n]`: the gradient of a weight. */
export function gemmTransposed(
  a: usize, lda: usize, b: usize, ldb: usize, rows: i32, m: i32, n: i32, c: usize, ldc: usize, scratch: usize,
): void {
  const left = scratch;
  const right = scratch + ((<usize>DEPTH * <usize>((m + 3) & ~3)) << 2);
  for (let r = 0; r < rows; r += DEPTH) {
    const depth = min(DEPTH, rows - r);
    packFours(a + <usize>r * lda, lda, depth, m, left);
    pack(b + <usize>r * ldb, ldb, depth, n, right);
    for (let i = 0; i < m; i += 4) {
      const strip = left + ((<usize>i * <usize>depth) << 2);
      const to = c + <usize>i * ldc;
      for (let j = 0; j < n; j += 8) {
        const panel = right + ((<usize>j * <usize>depth) << 2);
        tileTransposed(min(4, m - i), strip, 16, depth, panel, to + (j << 2), ldc, min(8, n - j), true);
      }
    }
  }
}

/** Row-major `src[rows, cols]`: `dst[cols / 4][rows][4]`, missing columns as zeros. */
function packFours(src: usize, ld: usize, rows: i32, cols: i32, dst: usize): void {
  for (let c = 0; c < cols; c += 4) {
    let from = src + (c << 2);
    let to = dst + ((<usize>c * <usize>rows) << 2);
    const n = min(4, cols - c);
    for (let r = 0; r < rows; r++) {
      if (n == 4) v128.store(to, v128.load(from));
      else for (let j = 0; j < 4; j++) store<f32>(to + (j << 2), j < n ? load<f32>(from + (j << 2)) : 0);
      from += ld;
      to += 16;
    }
  }
}
