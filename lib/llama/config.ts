/** Shape of a small Llama: the fields of a Hugging Face `config.json` that covote's numerics need. */
export interface LlamaConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  /** Grouped-query attention when smaller than `heads`; divides it. */
  kvHeads: number;
  headDim: number;
  ropeTheta: number;
  rmsNormEps: number;
  /** Longest sequence, prompt and completion together, in tokens. */
  maxPositions: number;
  bosTokenId: number;
  eosTokenId: number;
  padTokenId: number;
  /** `lm`: tied embeddings, next-token logits. `scalar`: one number per sequence, read at its last token. */
  head: "lm" | "scalar";
}
