import { invalid } from "../core/errors.js";

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

/** Refuses (`invalid_argument`) a shape that the kernels cannot compute. */
export function checkConfig(config: LlamaConfig): void {
  const multiple = (field: keyof LlamaConfig, of: number): void => {
    const value = config[field];
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value % of !== 0) {
      throw invalid(field, `must be a positive multiple of ${of}, got ${value}`);
    }
  };
  multiple("vocabSize", 1);
  multiple("layers", 1);
  multiple("maxPositions", 1);
  multiple("hiddenSize", 4);
  multiple("intermediateSize", 4);
  multiple("headDim", 8);
  multiple("kvHeads", 1);
  multiple("heads", config.kvHeads);
}
