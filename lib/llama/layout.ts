/**
 * Where each tensor of a small Llama lies in its one flat float32 array.
 *
 * Names, shapes and row-major order are Hugging Face's (`[out, in]` for projections), so a checkpoint is
 * read and written tensor by tensor without transposing. Gradients and optimiser moments use the same layout.
 */
import type { LlamaConfig } from "./config.js";

export interface TensorSpec {
  /** Hugging Face's name, e.g. `model.layers.0.self_attn.q_proj.weight`. */
  name: string;
  shape: readonly number[];
  /** In floats, from the start of the flat array. */
  offset: number;
  size: number;
}

export interface Layout {
  tensors: readonly TensorSpec[];
  byName: ReadonlyMap<string, TensorSpec>;
  /** Number of parameters. */
  size: number;
}

export function layoutOf(c: LlamaConfig): Layout {
  const tensors: TensorSpec[] = [];
  let offset = 0;
  const add = (name: string, ...shape: number[]): void => {
    const size = shape.reduce((a, b) => a * b, 1);
    tensors.push({ name, shape, offset, size });
    offset += size;
  };
  const q = c.heads * c.headDim;
  const kv = c.kvHeads * c.headDim;
  add("model.embed_tokens.weight", c.vocabSize, c.hiddenSize);
  for (let l = 0; l < c.layers; l++) {
    const at = `model.layers.${l}`;
    add(`${at}.input_layernorm.weight`, c.hiddenSize);
    add(`${at}.self_attn.q_proj.weight`, q, c.hiddenSize);
    add(`${at}.self_attn.k_proj.weight`, kv, c.hiddenSize);
    add(`${at}.self_attn.v_proj.weight`, kv, c.hiddenSize);
    add(`${at}.self_attn.o_proj.weight`, c.hiddenSize, q);
    add(`${at}.post_attention_layernorm.weight`, c.hiddenSize);
    add(`${at}.mlp.gate_proj.weight`, c.intermediateSize, c.hiddenSize);
    add(`${at}.mlp.up_proj.weight`, c.intermediateSize, c.hiddenSize);
    add(`${at}.mlp.down_proj.weight`, c.hiddenSize, c.intermediateSize);
  }
  add("model.norm.weight", c.hiddenSize);
  if (c.head === "scalar") add("score.weight", 1, c.hiddenSize);
  return { tensors, byName: new Map(tensors.map((t) => [t.name, t])), size: offset };
}
