// Matrix products on panels of eight columns.
//
// Every element of a product is one chain `acc = acc + a[k] * b[k]`, k ascending, whatever the number of
// rows and whichever tile computes it. So a row's result never depends on its neighbours.
//
// Pointers and row strides (`ld…`) are in bytes; counts are in elements.

/**
 * Where a tile waits that is not simply stored: five rows of eight floats. Stores with no branch, mask or call
 * between them are all that may follow a tile's loop: anything more makes V8 spill vectors inside the loop, at
 * a third of the speed (measured with Node 20).
 */
const waiting = memory.data(160, 16);

/** The first `width` columns of `m` waiting rows to `c`; `add` adds them to what is there. */
function finish(m: i32, c: usize, ldc: usize, width: i32, add: bool): void {
  let from = waiting;
  for (let i = 0; i < m; i++) {
    if (width == 8) {
      let lo = v128.load(from), hi = v128.load(from, 16);
      if (add) {
        lo = f32x4.add(v128.load(c), lo);
        hi = f32x4.add(v128.load(c, 16), hi);
      }
      v128.store(c, lo);
      v128.store(c, hi, 16);
    } else {
      for (let j: usize = 0; j < <usize>width << 2; j += 4) {
        const value = load<f32>(from + j);
        store<f32>(c + j, add ? load<f32>(c + j) + value : value);
      }
    }
    from += 32;
    c += ldc;
  }
}

@inline
function put(c: usize, lo: v128, hi: v128): void {
  v128.store(c, lo);
  v128.store(c, hi, 16);
}

// Five rows: ten sums, two columns and one spread value fill the registers; no unrolling, which would spill them.
function tile5(a: usize, lda: usize, k: i32, b: usize, c: usize, ldc: usize, width: i32, add: bool): void {
  let a1 = a + lda;
  let a2 = a1 + lda;
  let a3 = a2 + lda;
  let a4 = a3 + lda;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0);
  const end = b + ((<usize>k) << 5);
  while (b < end) {
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
    x = v128.load32_splat(a4);
    c40 = f32x4.add(c40, f32x4.mul(x, b0));
    c41 = f32x4.add(c41, f32x4.mul(x, b1));
    a += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    a4 += 4;
    b += 32;
  }
  const simple = width == 8 && !add;
  const to = simple ? c : waiting;
  const step: usize = simple ? ldc : 32;
  put(to, c00, c01);
  put(to + step, c10, c11);
  put(to + 2 * step, c20, c21);
  put(to + 3 * step, c30, c31);
  put(to + 4 * step, c40, c41);
  if (!simple) finish(5, c, ldc, width, add);
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
  const simple = width == 8 && !add;
  const to = simple ? c : waiting;
  const step: usize = simple ? ldc : 32;
  put(to, c00, c01);
  put(to + step, c10, c11);
  if (!simple) finish(2, c, ldc, width, add);
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
  const simple = width == 8 && !add;
  const to = simple ? c : waiting;
  put(to, c0, c1);
  if (!simple) finish(1, c, 0, width, add);
}

/** `rows` (any number) rows of `a` times one panel of k × 8. */
@inline
export function tiles(
  rows: i32, a: usize, lda: usize, k: i32, panel: usize, c: usize, ldc: usize, width: i32, add: bool,
): void {
  let r = rows;
  for (; r >= 5; r -= 5) {
    tile5(a, lda, k, panel, c, ldc, width, add);
    a += 5 * lda;
    c += 5 * ldc;
  }
  for (; r >= 2; r -= 2) {
    tile2(a, lda, k, panel, c, ldc, width, add);
    a += 2 * lda;
    c += 2 * ldc;
  }
  if (r) tile1(a, k, panel, c, width, add);
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

/** Rows of a full tile. */
export const ROWS: i32 = 5;

/** Floats of left operand that a block of rows may take: three eighths of a 32 KiB first-level cache. */
const BLOCK_FLOATS: i32 = 6144;

/**
 * `c[rows, n] = a[rows, k] · panels` (`add`: `c += …`), with panels of `n` columns from `packTransposed`
 * (c = a · srcᵀ) or `pack` (c = a · src).
 */
export function gemm(
  a: usize, lda: usize, rows: i32, k: i32, panels: usize, n: i32, c: usize, ldc: usize, add: bool,
): void {
  const block = max(ROWS, (BLOCK_FLOATS / k / ROWS) * ROWS);
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
 * Five columns of `a` (k rows) against one panel: `c[m, width]`, m ≤ 5, where
 * `c[i, j] (+)= Σ_k a[k, i] · panel[k, j]`. Reads five columns whatever m.
 */
export function tileTransposed(
  m: i32, a: usize, lda: usize, k: i32, b: usize, c: usize, ldc: usize, width: i32, add: bool,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0);
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
    x = v128.load32_splat(a, 16);
    c40 = f32x4.add(c40, f32x4.mul(x, b0));
    c41 = f32x4.add(c41, f32x4.mul(x, b1));
    a += lda;
    b += 32;
  }
  put(waiting, c00, c01);
  put(waiting + 32, c10, c11);
  put(waiting + 64, c20, c21);
  put(waiting + 96, c30, c31);
  put(waiting + 128, c40, c41);
  finish(m, c, ldc, width, add);
}

/** Rows that `gemmTransposed` takes at a time, so that its packed operands stay in the second-level cache. */
const DEPTH: i32 = 128;

/** Floats of scratch that `gemmTransposed` needs. */
export function gemmTransposedScratch(m: i32, n: i32): i32 {
  return DEPTH * (m + ROWS + ((n + 7) & ~7));
}

/** `c[m, n] += a[rows, m]ᵀ · b[rows, n]`: the gradient of a weight. */
export function gemmTransposed(
  a: usize, lda: usize, b: usize, ldb: usize, rows: i32, m: i32, n: i32, c: usize, ldc: usize, scratch: usize,
): void {
  const left = scratch;
  const right = scratch + ((<usize>DEPTH * <usize>(m + ROWS)) << 2);
  for (let r = 0; r < rows; r += DEPTH) {
    const depth = min(DEPTH, rows - r);
    packFives(a + <usize>r * lda, lda, depth, m, left);
    pack(b + <usize>r * ldb, ldb, depth, n, right);
    for (let i = 0; i < m; i += ROWS) {
      const strip = left + ((<usize>i * <usize>depth) << 2);
      const to = c + <usize>i * ldc;
      for (let j = 0; j < n; j += 8) {
        const panel = right + ((<usize>j * <usize>depth) << 2);
        tileTransposed(min(ROWS, m - i), strip, ROWS << 2, depth, panel, to + (j << 2), ldc, min(8, n - j), true);
      }
    }
  }
}

/** Row-major `src[rows, cols]`: `dst[cols / 5][rows][5]`, missing columns as zeros. */
function packFives(src: usize, ld: usize, rows: i32, cols: i32, dst: usize): void {
  for (let c = 0; c < cols; c += ROWS) {
    let from = src + (c << 2);
    let to = dst + ((<usize>c * <usize>rows) << 2);
    const n = min(ROWS, cols - c);
    for (let r = 0; r < rows; r++) {
      if (n == ROWS) {
        v128.store(to, v128.load(from));
        store<f32>(to, load<f32>(from, 16), 16);
      } else {
        for (let j = 0; j < ROWS; j++) store<f32>(to + (j << 2), j < n ? load<f32>(from + (j << 2)) : 0);
      }
      from += ld;
      to += ROWS << 2;
    }
  }
}
