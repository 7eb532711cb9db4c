/**
 * A model's weights as one safetensors file, and back: for a checkpoint folder and for an object store.
 *
 * What comes back fits `layoutOf(config)` exactly and holds only finite numbers; anything else is an
 * `invalid_argument` that names the tensor.
 */
import { invalid } from "../core/errors.js";
import type { LlamaConfig } from "./config.js";
import { layoutOf } from "./layout.js";
import { parseSafetensors, type StoredDtype, serialiseSafetensors } from "./safetensors.js";

export interface EncodeOptions {
  dtype: StoredDtype;
  /** Free strings for the header: version, step, how it was made. */
  metadata?: Readonly<Record<string, string>>;
}

/** `weights` in layout order → bytes of `model.safetensors`. Deterministic. */
export function encodeWeights(
  config: LlamaConfig,
  weights: Float32Array,
  options: EncodeOptions,
): Uint8Array {
  const layout = layoutOf(config);
  if (weights.length !== layout.size) {
    throw invalid(
      "weights",
      `${weights.length} numbers for a model of ${layout.size}; pass weights of this config`,
    );
  }
  checkFinite(config, weights, "weights");
  return serialiseSafetensors(
    layout.tensors.map(({ name, shape, offset, size }) => ({
      name,
      shape,
      data: weights.subarray(offset, offset + size),
    })),
    options,
  );
}

export interface DecodedWeights {
  /** In layout order. */
  weights: Float32Array;
  metadata: Readonly<Record<string, string>>;
}

/** Bytes of a safetensors file → weights of `config`. `file` is only for messages. */
export function decodeWeights(
  config: LlamaConfig,
  bytes: Uint8Array,
  file = "model.safetensors",
): DecodedWeights {
  const { tensors, metadata } = parseSafetensors(bytes, file);
  // Before allocating what a damaged config.json asks for.
  const layout = layoutOf(config);
  for (const { name, shape } of layout.tensors) {
    const tensor = tensors.get(name);
    if (tensor === undefined) {
      throw invalid(file, `tensor ${name}: missing; save the model again or correct config.json`);
    }
    if (tensor.shape.join() !== shape.join()) {
      throw invalid(
        file,
        `tensor ${name}: shape [${tensor.shape.join(", ")}], config.json says [${shape.join(", ")}]; correct one of them`,
      );
    }
  }
  for (const name of tensors.keys()) {
    if (!layout.byName.has(name) && !isRedundant(name)) {
      throw invalid(
        file,
        `tensor ${JSON.stringify(name)}: unknown to this architecture; correct config.json`,
      );
    }
  }
  const weights = new Float32Array(layout.size);
  for (const { name, offset } of layout.tensors) weights.set(tensors.get(name)?.data ?? [], offset);
  checkFinite(config, weights, file);
  return { weights, metadata };
}

/** What some writers add: the tied copy of the embeddings, and old versions' rotary tables. */
function isRedundant(name: string): boolean {
  return name === "lm_head.weight" || name.endsWith(".rotary_emb.inv_freq");
}

function checkFinite(config: LlamaConfig, weights: Float32Array, file: string): void {
  let at = 0;
  while (at < weights.length && Number.isFinite(weights[at])) at++;
  if (at === weights.length) return;
  const bad = layoutOf(config).tensors.find(({ offset, size }) => at >= offset && at < offset + size);
  throw invalid(
    file,
    `tensor ${bad?.name}: holds ${weights[at]} at ${at - (bad?.offset ?? 0)}; use weights from before`,
  );
}
