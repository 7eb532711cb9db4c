/** The exports of `kernels/decode.ts`: paged keys and values, and sampling. Pointers and strides in bytes. */
export interface DecodeFunctions {
  /** Floats that one page of one layer takes. */
  pageFloats(kvHeads: number, dim: number): number;
  /** Positions that one page holds. */
  pagePositions(): number;
  storePages(
    qkv: number,
    ld: number,
    rows: number,
    heads: number,
    kvHeads: number,
    dim: number,
    slots: number,
    layer: number,
  ): void;
  attendPages(
    qkv: number,
    ld: number,
    rows: number,
    heads: number,
    kvHeads: number,
    dim: number,
    tables: number,
    lengths: number,
    layer: number,
    scale: number,
    scores: number,
    out: number,
    ldo: number,
  ): void;
  pickRows(x: number, indices: number, rows: number, n: number, out: number): void;
  /** The token, or −1 when the logits are not finite. */
  sampleToken(
    logits: number,
    n: number,
    inverseTemperature: number,
    greedy: number,
    uniform: number,
    scratch: number,
    logprob: number,
  ): number;
}
