/**
 * Text ↔ token ids, as `transformers` does it: `tokenizer.json` through `@huggingface/tokenizers`, the chat
 * template through `@huggingface/jinja`.
 *
 * - No special tokens are added: what a model needs at the start or the end is in its chat template.
 * - A word outside the vocabulary becomes the unknown token; callers that must refuse it look for
 *   `unknownTokenId` in the ids.
 */
import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { CovoteError, invalid } from "../core/errors.js";
import type { TokenizerFiles } from "./checkpoint.js";
import { contentOf, vocabularyOf } from "./tokenizer-json.js";

/** One turn of a conversation, in the chat template's terms. */
export interface ChatTurn {
  role: string;
  content: string;
}

export interface LlamaTokenizer {
  encode(text: string): number[];
  /** `skipSpecial` (default false) leaves out end, role markers and the like. Unknown ids are an error. */
  decode(ids: ArrayLike<number>, options?: { skipSpecial?: boolean }): string;
  /** The conversation as the template writes it; `addGenerationPrompt` (default true) opens the reply. */
  render(messages: readonly ChatTurn[], options?: { addGenerationPrompt?: boolean }): string;
  /** `encode(render(…))`. */
  chat(messages: readonly ChatTurn[], options?: { addGenerationPrompt?: boolean }): number[];
  idOf(token: string): number | undefined;
  readonly vocabSize: number;
  readonly eosTokenId: number;
  /** `null` when every text can be encoded. */
  readonly unknownTokenId: number | null;
}

/** Compiles tokenizer and template once; both are then used for every text. */
export function createTokenizer(files: TokenizerFiles): LlamaTokenizer {
  const { tokenizerJson, tokenizerConfig } = files;
  const vocabulary = vocabularyOf(tokenizerJson);
  const tokenizer = build(tokenizerJson, tokenizerConfig);
  const template = files.chatTemplate === null ? undefined : compile(files.chatTemplate);
  const specialTokens = tokenStrings(tokenizerConfig);
  const eos = specialTokens.eos_token;
  const eosTokenId = eos === undefined ? undefined : vocabulary.get(eos);
  if (eosTokenId === undefined) {
    throw invalid("tokenizer_config.json", "eos_token: must be a token of tokenizer.json; add it");
  }
  const unknown = unknownToken(tokenizerJson, specialTokens.unk_token);

  const render: LlamaTokenizer["render"] = (messages, options = {}) => {
    if (template === undefined) {
      throw invalid("chat_template.jinja", "missing; add the model's chat template to the checkpoint");
    }
    try {
      return template.render({
        ...specialTokens,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? true,
      });
    } catch (cause) {
      throw new CovoteError(
        "invalid_argument",
        `chat_template.jinja: ${oneLine(cause)}; correct it or the messages`,
        {
          field: "messages",
          cause,
        },
      );
    }
  };
  const encode = (text: string): number[] => {
    let ids: (number | undefined)[];
    try {
      ids = tokenizer.encode(text, { add_special_tokens: false }).ids;
    } catch (cause) {
      throw new CovoteError(
        "invalid_argument",
        `tokenizer.json: cannot encode (${oneLine(cause)}); use a tokenizer of transformers`,
        { field: "tokenizer.json", cause },
      );
    }
    // The library leaves holes where a word is unknown and the tokenizer has no token for that.
    if (ids.includes(undefined))
      throw invalid("text", "holds words that the model does not know; use its words");
    return ids as number[];
  };

  return {
    encode,
    decode(ids, options = {}) {
      if (ids.length === 0) return "";
      const list = Array.from(ids);
      for (const id of list) {
        if (tokenizer.id_to_token(id) === undefined) {
          throw invalid(
            "tokens",
            `id ${id} is not in the tokenizer (${vocabulary.size} tokens); use the model's own`,
          );
        }
      }
      return tokenizer.decode(list, { skip_special_tokens: options.skipSpecial ?? false });
    },
    render,
    chat: (messages, options) => encode(render(messages, options)),
    idOf: (token) => vocabulary.get(token),
    vocabSize: vocabulary.size,
    eosTokenId,
    unknownTokenId: unknown === undefined ? null : (vocabulary.get(unknown) ?? null),
  };
}

function build(tokenizerJson: object, tokenizerConfig: object): Tokenizer {
  try {
    return new Tokenizer(tokenizerJson, tokenizerConfig);
  } catch (cause) {
    throw new CovoteError(
      "invalid_argument",
      `tokenizer.json: ${oneLine(cause)}; use a tokenizer of transformers`,
      {
        field: "tokenizer.json",
        cause,
      },
    );
  }
}

function compile(source: string): Template {
  try {
    return new Template(source);
  } catch (cause) {
    throw new CovoteError(
      "invalid_argument",
      `chat_template.jinja: ${oneLine(cause)}; correct the template`,
      {
        field: "chat_template.jinja",
        cause,
      },
    );
  }
}

/** `bos_token`, `eos_token` …: the names that templates use. */
function tokenStrings(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const strings: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    const content = key.endsWith("_token") ? contentOf(value) : undefined;
    if (content !== undefined) strings[key] = content;
  }
  return strings;
}

function unknownToken(
  tokenizerJson: Readonly<Record<string, unknown>>,
  configured?: string,
): string | undefined {
  const model = tokenizerJson.model;
  const own =
    typeof model === "object" && model !== null && "unk_token" in model ? model.unk_token : undefined;
  return typeof own === "string" ? own : configured;
}

function oneLine(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.replace(/\s+/gu, " ").slice(0, 200);
}
