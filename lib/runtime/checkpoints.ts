/**
 * The configured checkpoints, checked before anything is built on them: a folder that cannot be read, a model of
 * another kind or a vocabulary that lacks words is one line that names the setting, at the start.
 */
import { existsSync } from "node:fs";
import { CovoteError } from "../core/errors.js";
import { packagePath } from "../core/package-root.js";
import { type Grammar, grammars } from "../grm/grammar.js";
import type { CovoteConfig } from "../host/covote-config.js";
import { shippedCheckpoint } from "../host/shipped.js";
import { type Checkpoint, openCheckpoint } from "../llama/checkpoint.js";
import { createTokenizer, type LlamaTokenizer } from "../llama/tokenizer.js";

export type CheckpointRole = "policy" | "grm" | "meta-rm";

export interface CheckedCheckpoint {
  /** Folder. */
  path: string;
  checkpoint: Checkpoint;
  tokenizer: LlamaTokenizer;
}

/** Prompt tokens that any model needs room for, besides what it generates. */
const shortestPrompt = 8;

/** Throws `invalid_argument` that names the role's setting. */
export async function openConfiguredCheckpoint(
  config: CovoteConfig,
  role: CheckpointRole,
): Promise<CheckedCheckpoint> {
  const { field, path: configured } = settingOf(config, role);
  const path = folderOf(configured, role);
  if (configured === shippedCheckpoint && !existsSync(path)) {
    throw bad(field, `${path} is not there; make it with covote models train ${shippedCheckpoint} --seed 1`);
  }
  const opened = await naming(field, async () => {
    const checkpoint = await openCheckpoint(path);
    const tokenizer = createTokenizer(checkpoint);
    tokenizer.chat([{ role: "user", content: "." }]);
    return { path, checkpoint, tokenizer };
  });
  checkHead(field, opened, role);
  if (role === "policy") checkRoom(field, opened, config.policy.maxTokens, "policy.maxTokens");
  else checkWords(field, opened, grammars[config.grm.grammar]);
  if (role === "grm") {
    const grammar = grammars[config.grm.grammar];
    const tokens = Math.min(grammar.maxTokens(1), config.grm.maxTokens ?? Infinity);
    checkRoom(field, opened, tokens, `grm.grammar ${grammar.name}`);
  }
  return opened;
}

/** The folder of the role's checkpoint, whether it is there or not. */
export function checkpointFolder(config: CovoteConfig, role: CheckpointRole): string {
  return folderOf(settingOf(config, role).path, role);
}

/** The words that the tokenizer can only write as its unknown token. */
export function unknownWords(tokenizer: LlamaTokenizer, words: Iterable<string>): string[] {
  const { unknownTokenId } = tokenizer;
  if (unknownTokenId === null) return [];
  return [...words].filter((word) => tokenizer.encode(word).includes(unknownTokenId));
}

/** `a, b, c and 4 more` */
export function someOf(words: readonly string[], most = 4): string {
  const rest = words.length - most;
  return rest > 0 ? `${words.slice(0, most).join(", ")} and ${rest} more` : words.join(", ");
}

function settingOf(config: CovoteConfig, role: CheckpointRole): { field: string; path: string } {
  switch (role) {
    case "policy":
      return { field: "policy.checkpoint", path: config.policy.checkpoint };
    case "grm":
      return { field: "grm.checkpoint", path: config.grm.checkpoint };
    case "meta-rm":
      return { field: "metaRm.checkpoint", path: config.metaRm.checkpoint };
  }
}

function folderOf(configured: string, role: CheckpointRole): string {
  return configured === shippedCheckpoint
    ? packagePath("models", `${shippedCheckpoint}-${role}`)
    : configured;
}

function checkHead(field: string, { path, checkpoint }: CheckedCheckpoint, role: CheckpointRole): void {
  const wanted = role === "meta-rm" ? "scalar" : "lm";
  if (checkpoint.config.head === wanted) return;
  throw bad(
    field,
    wanted === "lm"
      ? `${path} has a scalar head and cannot write; give a LlamaForCausalLM checkpoint`
      : `${path} has no scalar head; give a LlamaForSequenceClassification checkpoint`,
  );
}

function checkWords(field: string, opened: CheckedCheckpoint, grammar: Grammar): void {
  const missing = unknownWords(opened.tokenizer, grammar.words);
  if (missing.length === 0) return;
  throw bad(
    field,
    `${opened.path} does not know the words ${someOf(missing)} of grm.grammar ${grammar.name}; ` +
      "give a checkpoint that was trained for this grammar, or name its own grammar",
  );
}

function checkRoom(field: string, opened: CheckedCheckpoint, tokens: number, what: string): void {
  const { maxPositions } = opened.checkpoint.config;
  if (tokens + shortestPrompt <= maxPositions) return;
  throw bad(
    field,
    `${opened.path} has ${maxPositions} positions, too few for a prompt and the ${tokens} tokens of ${what}; ` +
      "give a model with a longer context, or ask for less",
  );
}

async function naming<T>(field: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code === "internal") throw error;
    throw new CovoteError(error.code, `${field}: ${error.message}`, { field, cause: thrown });
  }
}

function bad(field: string, problem: string): CovoteError {
  return new CovoteError("invalid_argument", `${field}: ${problem}`, { field });
}
