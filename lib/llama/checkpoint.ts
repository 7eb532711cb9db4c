/**
 * A checkpoint folder in the Hugging Face format: what `transformers`, vLLM and SGLang load, and nothing else.
 *
 *     config.json  generation_config.json  model.safetensors
 *     tokenizer.json  tokenizer_config.json  chat_template.jinja
 *
 * - Whatever is wrong with a folder is an `invalid_argument` of one line that names the file and the fix.
 * - Saving is all or nothing: the folder appears, or is replaced, by a rename. (Replacing takes two renames;
 *   a crash between them leaves the former folder beside it, as `NAME.old-*`.)
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CovoteError, invalid } from "../core/errors.js";
import type { LlamaConfig } from "./config.js";
import { parseConfigJson, toConfigJson } from "./config-json.js";
import type { StoredDtype } from "./safetensors.js";
import { checkTokenizer } from "./tokenizer-json.js";
import { decodeWeights, encodeWeights } from "./weights.js";

export interface TokenizerFiles {
  /** Parsed `tokenizer.json`. */
  tokenizerJson: Readonly<Record<string, unknown>>;
  /** Parsed `tokenizer_config.json`. */
  tokenizerConfig: Readonly<Record<string, unknown>>;
  /** Jinja source; `null` when the model has none. */
  chatTemplate: string | null;
}

export interface Checkpoint extends TokenizerFiles {
  config: LlamaConfig;
  /** In the order of `layoutOf(config)`. */
  weights: Float32Array;
  /** Free strings kept in the header of `model.safetensors`. */
  metadata: Readonly<Record<string, string>>;
}

export interface SaveOptions {
  dtype: StoredDtype;
  /** Added to the checkpoint's own metadata. */
  metadata?: Readonly<Record<string, string>>;
}

/** Reads the part of a folder that turns text into tokens; what else is there, or is not, does not matter. */
export async function openTokenizerFiles(dir: string): Promise<TokenizerFiles> {
  const tokenizerJson = await readJson(join(dir, "tokenizer.json"));
  const tokenizerConfig = await readJson(join(dir, "tokenizer_config.json"));
  const template = await readOptional(join(dir, "chat_template.jinja"));
  const inConfig = tokenizerConfig.chat_template;
  return {
    tokenizerJson,
    tokenizerConfig,
    // transformers, too, prefers the file.
    chatTemplate: template?.toString("utf8") ?? (typeof inConfig === "string" ? inConfig : null),
  };
}

/** Reads and checks a whole folder. */
export async function openCheckpoint(dir: string): Promise<Checkpoint> {
  const at = (name: string): string => join(dir, name);
  const shape = parseConfigJson(await readJson(at("config.json")), at("config.json"));
  const files = await openTokenizerFiles(dir);
  const { tokenizerJson, tokenizerConfig } = files;
  const tokenCount = checkTokenizer({ tokenizerJson, tokenizerConfig }, shape, dir);
  const config = tokenCount === shape.vocabSize ? shape : { ...shape, tokenCount };
  const bytes = await read(at("model.safetensors"));
  const { weights, metadata } = decodeWeights(config, bytes, at("model.safetensors"));
  return { ...files, config, weights, metadata };
}

/** Writes the folder `dir`, replacing a former one. Missing parents are made. */
export async function saveCheckpoint(
  dir: string,
  checkpoint: Checkpoint,
  options: SaveOptions,
): Promise<void> {
  const { config, tokenizerJson, chatTemplate } = checkpoint;
  const { chat_template: _, ...tokenizerConfig } = checkpoint.tokenizerConfig;
  checkTokenizer(checkpoint, config, dir);
  const files: Record<string, string | Uint8Array> = {
    "config.json": toJson(toConfigJson(config, options.dtype)),
    "generation_config.json": toJson({
      bos_token_id: config.bosTokenId,
      eos_token_id: config.eosTokenId,
      pad_token_id: config.padTokenId,
      do_sample: true,
    }),
    "tokenizer.json": toJson(tokenizerJson),
    // Versions of transformers before 4.52 look for the template only here.
    "tokenizer_config.json": toJson(
      chatTemplate === null ? tokenizerConfig : { ...tokenizerConfig, chat_template: chatTemplate },
    ),
    ...(chatTemplate === null ? {} : { "chat_template.jinja": chatTemplate }),
    "model.safetensors": encodeWeights(config, checkpoint.weights, {
      dtype: options.dtype,
      metadata: { ...checkpoint.metadata, ...options.metadata },
    }),
  };
  const target = resolve(dir);
  const suffix = randomUUID().slice(0, 8);
  const temporary = `${target}.tmp-${suffix}`;
  try {
    await mkdir(temporary, { recursive: true });
    for (const [name, content] of Object.entries(files)) await writeSynced(join(temporary, name), content);
    await moveInto(temporary, target, `${target}.old-${suffix}`);
  } catch (thrown) {
    // What went wrong first is what matters; a leftover temporary folder harms nobody.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (thrown instanceof CovoteError) throw thrown;
    throw new CovoteError(
      "failed_precondition",
      `cannot write ${dir} (${reason(thrown)}); check the path and its disk`,
      {
        field: dir,
        cause: thrown,
      },
    );
  }
}

async function moveInto(temporary: string, target: string, former: string): Promise<void> {
  let replaced = true;
  try {
    await rename(target, former);
  } catch (thrown) {
    if (!isErrno(thrown, "ENOENT")) throw thrown;
    replaced = false;
  }
  try {
    await rename(temporary, target);
  } catch (thrown) {
    if (replaced) await rename(former, target);
    throw thrown;
  }
  if (replaced) await rm(former, { recursive: true, force: true });
}

/** On the disk before the rename, so that a power cut cannot leave a whole folder of empty files. */
async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (thrown) {
    const missing = isErrno(thrown, "ENOENT") || isErrno(thrown, "ENOTDIR");
    const fix = "give the folder of a Hugging Face Llama checkpoint";
    throw new CovoteError(
      "invalid_argument",
      `${path}: ${missing ? "no such file" : reason(thrown)}; ${fix}`,
      {
        field: path,
        cause: thrown,
      },
    );
  }
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (thrown) {
    if (isErrno(thrown, "ENOENT")) return undefined;
    throw invalid(path, `${reason(thrown)}; make it readable`);
  }
}

async function readJson(path: string): Promise<Record<string, unknown>> {
  const text = (await read(path)).toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CovoteError("invalid_argument", `${path}: not JSON; copy the file again`, {
      field: path,
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(path, "not a JSON object; copy the file again");
  }
  return value as Record<string, unknown>;
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function isErrno(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === code;
}

function reason(thrown: unknown): string {
  if (thrown instanceof Error && "code" in thrown) return String(thrown.code);
  return thrown instanceof Error ? thrown.message : String(thrown);
}
