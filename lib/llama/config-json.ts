/**
 * `config.json` of a Hugging Face Llama, both ways: `LlamaForCausalLM` with tied embeddings, or
 * `LlamaForSequenceClassification` with one label (covote's scalar head).
 *
 * Only what these numerics compute is accepted; anything else (rope scaling, biases, another activation) is
 * refused by name rather than ignored, because ignoring it would give wrong logits silently.
 */
import { invalid } from "../core/errors.js";
import type { LlamaConfig } from "./config.js";

const architectures: Readonly<Record<string, LlamaConfig["head"]>> = {
  LlamaForCausalLM: "lm",
  LlamaForSequenceClassification: "scalar",
};

/** transformers' own defaults, for fields that a `config.json` may leave out. */
const defaults = { ropeTheta: 10000, rmsNormEps: 1e-6, maxPositions: 2048 };

/** `json` is the parsed file; `file` is only for messages. */
export function parseConfigJson(json: unknown, file = "config.json"): LlamaConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw invalid(file, "not a JSON object; give a Hugging Face config.json");
  }
  const fields = json as Record<string, unknown>;
  const head = parseHead(fields, file);
  refuseUnsupported(fields, head, file);
  const count = (key: string, fallback?: number, most = 1 << 20): number => {
    const value = fields[key] ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw invalid(file, `${key}: must be an integer from 1 to ${most}, got ${show(value)}`);
  };
  const positive = (key: string, value: unknown): number => {
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw invalid(file, `${key}: must be a number above 0, got ${show(value)}`);
  };
  const vocabSize = count("vocab_size");
  const token = (key: string): number => {
    const value = fields[key];
    const id = Array.isArray(value) && value.length === 1 ? value[0] : value;
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
    throw invalid(file, `${key}: must be one token id below vocab_size (${vocabSize}), got ${show(value)}`);
  };
  const hiddenSize = count("hidden_size");
  const heads = count("num_attention_heads");
  const kvHeads = count("num_key_value_heads", heads);
  if (heads % kvHeads !== 0) {
    throw invalid(file, `num_key_value_heads: must divide num_attention_heads (${heads}), got ${kvHeads}`);
  }
  const headDim = count("head_dim", hiddenSize / heads);
  const config: LlamaConfig = {
    vocabSize,
    hiddenSize,
    intermediateSize: count("intermediate_size"),
    layers: count("num_hidden_layers", undefined, 1024),
    heads,
    kvHeads,
    headDim,
    ropeTheta: positive("rope_theta", ropeTheta(fields, file)),
    rmsNormEps: positive("rms_norm_eps", fields.rms_norm_eps ?? defaults.rmsNormEps),
    maxPositions: count("max_position_embeddings", defaults.maxPositions),
    bosTokenId: token("bos_token_id"),
    eosTokenId: token("eos_token_id"),
    padTokenId: token("pad_token_id"),
    head,
  };
  checkShape(config, file);
  return config;
}

/** The kernels work on groups of four and eight. */
export function checkShape(config: LlamaConfig, file = "config"): void {
  const multiple = (name: string, value: number, of: number): void => {
    if (value % of === 0) return;
    throw invalid(file, `${name}: must be a multiple of ${of}, got ${value}; use a model of another shape`);
  };
  multiple("head_dim", config.headDim, 8);
  multiple("hidden_size", config.hiddenSize, 4);
  multiple("intermediate_size", config.intermediateSize, 4);
}

/** The file's content for `config`, readable by transformers 4 and 5, vLLM and SGLang. */
export function toConfigJson(config: LlamaConfig, dtype: "float32" | "bfloat16"): Record<string, unknown> {
  const scalar = config.head === "scalar";
  return {
    architectures: [scalar ? "LlamaForSequenceClassification" : "LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    max_position_embeddings: config.maxPositions,
    rms_norm_eps: config.rmsNormEps,
    // Version 4 of transformers reads rope_theta, version 5 rope_parameters.
    rope_theta: config.ropeTheta,
    rope_parameters: { rope_theta: config.ropeTheta, rope_type: "default" },
    rope_scaling: null,
    hidden_act: "silu",
    attention_bias: false,
    attention_dropout: 0,
    mlp_bias: false,
    tie_word_embeddings: true,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    pad_token_id: config.padTokenId,
    ...(scalar ? { num_labels: 1, id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 } } : {}),
    torch_dtype: dtype,
    use_cache: true,
  };
}

function parseHead(fields: Record<string, unknown>, file: string): LlamaConfig["head"] {
  const named = fields.architectures;
  const architecture: unknown = Array.isArray(named) ? named[0] : undefined;
  if (typeof architecture !== "string" || !Object.hasOwn(architectures, architecture)) {
    const known = Object.keys(architectures).join(" or ");
    throw invalid(file, `architectures: ${show(named)} is not supported; give a checkpoint of ${known}`);
  }
  return architectures[architecture] as LlamaConfig["head"];
}

function refuseUnsupported(fields: Record<string, unknown>, head: LlamaConfig["head"], file: string): void {
  const only = (key: string, allowed: unknown, value: unknown = fields[key] ?? allowed): void => {
    if (value !== allowed)
      throw invalid(file, `${key}: only ${show(allowed)} is supported, got ${show(value)}`);
  };
  only("model_type", "llama");
  only("hidden_act", "silu");
  only("attention_bias", false);
  only("mlp_bias", false);
  if (head === "lm") {
    // transformers' default is false: an untied lm_head would be a second matrix.
    only("tie_word_embeddings", true, fields.tie_word_embeddings ?? false);
    return;
  }
  const labels = fields.id2label;
  const count = isRecord(labels) ? Object.keys(labels).length : (fields.num_labels ?? 2);
  only("num_labels", 1, count);
}

function ropeTheta(fields: Record<string, unknown>, file: string): unknown {
  for (const key of ["rope_scaling", "rope_parameters"]) {
    const rope = fields[key];
    if (rope === undefined || rope === null) continue;
    const type = isRecord(rope) ? (rope.rope_type ?? rope.type ?? "default") : rope;
    if (type !== "default")
      throw invalid(file, `${key}: only rope_type "default" is supported, got ${show(type)}`);
  }
  const rope = fields.rope_parameters;
  return (isRecord(rope) ? rope.rope_theta : undefined) ?? fields.rope_theta ?? defaults.ropeTheta;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value in a message: as JSON, one short line. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
