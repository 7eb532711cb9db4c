import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CovoteError } from "../../lib/core/errors.js";
import { createTokenizer } from "../../lib/llama/tokenizer.js";
import { wordLevelTokenizerJson } from "../../lib/llama/tokenizer-json.js";
import { tinyCheckpoint } from "../support/tiny-llama.js";

const specials = {
  pad: "<pad>",
  unknown: "<unk>",
  bos: "<s>",
  eos: "</s>",
  others: ["<user>", "<assistant>"],
};

describe("a word-level tokenizer", () => {
  const tokenizer = createTokenizer(tinyCheckpoint());

  test("ids are pad, unknown, begin, end, the other marks, then the words in order", () => {
    const names = ["<pad>", "<unk>", "<s>", "</s>", "<user>", "<assistant>", "w0", "w33"];
    expect(names.map((name) => tokenizer.idOf(name))).toEqual([0, 1, 2, 3, 4, 5, 6, 39]);
    expect([tokenizer.vocabSize, tokenizer.eosTokenId, tokenizer.unknownTokenId]).toEqual([40, 3, 1]);
  });

  test("encodes words apart by any white space, special tokens in the text, and nothing more", () => {
    expect(tokenizer.encode("w0  w1\n<user>\tw2")).toEqual([6, 7, 4, 8]);
    expect(tokenizer.encode("")).toEqual([]);
  });

  test("an unknown word is visible as the unknown token", () => {
    expect(tokenizer.encode("w0 zeppelin")).toEqual([6, 1]);
    expect(tokenizer.encode("constructor __proto__")).toEqual([1, 1]);
  });

  test("decodes with one space between words, with or without special tokens", () => {
    expect(tokenizer.decode([4, 6, 7, 3])).toBe("<user> w0 w1 </s>");
    expect(tokenizer.decode(Uint32Array.of(4, 6, 7, 3), { skipSpecial: true })).toBe("w0 w1");
    expect(tokenizer.decode([])).toBe("");
  });

  test("an id outside the vocabulary is an error, not a word", () => {
    expect(() => tokenizer.decode([6, 40])).toThrow(/tokens: id 40 is not in the tokenizer \(40 tokens\)/);
  });

  test("a chat is the template's text, encoded", () => {
    const turns = [
      { role: "user", content: "w0 w1" },
      { role: "assistant", content: "w2" },
    ];
    expect(tokenizer.render(turns)).toBe("<user> w0 w1 <assistant> w2 </s> <assistant>");
    expect(tokenizer.chat(turns, { addGenerationPrompt: false })).toEqual([4, 6, 7, 5, 8, 3]);
    expect(tokenizer.chat([{ role: "user", content: "" }])).toEqual([4, 5]);
  });
});

describe("wrong input is an invalid_argument", () => {
  const good = tinyCheckpoint();

  test("a model without a template cannot chat", () => {
    const tokenizer = createTokenizer({ ...good, chatTemplate: null });
    expect(() => tokenizer.chat([{ role: "user", content: "w0" }])).toThrow(/chat_template\.jinja: missing/);
  });

  test("a template that does not parse, and one that refuses", () => {
    expect(() => createTokenizer({ ...good, chatTemplate: "{% for %}" })).toThrow(/^chat_template\.jinja: /);
    const strict = createTokenizer({
      ...good,
      chatTemplate: "{{ raise_exception('roles must alternate') }}",
    });
    expect(() => strict.chat([])).toThrow(/^chat_template\.jinja: .*roles must alternate/);
  });

  test("a tokenizer.json of an unknown kind", () => {
    const tokenizerJson = { ...good.tokenizerJson, pre_tokenizer: { type: "Telepathy" } };
    expect(() => createTokenizer({ ...good, tokenizerJson })).toThrow(/^tokenizer\.json: .*Telepathy/);
    expect(() => createTokenizer({ ...good, tokenizerJson: {} })).toThrow(
      /^tokenizer\.json: model\.vocab: missing/,
    );
  });

  test("no end token", () => {
    const { eos_token: _, ...tokenizerConfig } = good.tokenizerConfig;
    expect(() => createTokenizer({ ...good, tokenizerConfig })).toThrow(/eos_token: must be a token/);
  });

  test("an unknown word where the tokenizer has no unknown token", () => {
    const { unk_token: _, ...tokenizerConfig } = good.tokenizerConfig;
    const vocab = { w0: 0, "</s>": 1 };
    const tokenizerJson = { ...good.tokenizerJson, added_tokens: [], model: { type: "WordLevel", vocab } };
    const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig, chatTemplate: null });
    expect(tokenizer.unknownTokenId).toBeNull();
    expect(tokenizer.encode("w0 w0")).toEqual([0, 0]);
    expect(() => tokenizer.encode("w0 zeppelin")).toThrow(/^text: holds words that the model does not know/);
  });

  test("property: any field of either file replaced by any JSON works or is a CovoteError", () => {
    const part = fc.constantFrom("tokenizerJson", "tokenizerConfig") as fc.Arbitrary<
      "tokenizerJson" | "tokenizerConfig"
    >;
    fc.assert(
      fc.property(part, fc.nat(), fc.json({ maxDepth: 3 }), fc.string(), (which, index, value, text) => {
        const keys = Object.keys(good[which]);
        const key = keys[index % keys.length] as string;
        try {
          const tokenizer = createTokenizer({
            ...good,
            [which]: { ...good[which], [key]: JSON.parse(value) as unknown },
          });
          tokenizer.decode(tokenizer.encode(text));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(CovoteError);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("words that are none, or there twice", () => {
    expect(() => wordLevelTokenizerJson(["a b"], specials)).toThrow(/"a b" is not one word/);
    expect(() => wordLevelTokenizerJson([""], specials)).toThrow(/"" is not one word/);
    expect(() => wordLevelTokenizerJson(["a", "a"], specials)).toThrow(/"a" is there twice/);
    expect(() => wordLevelTokenizerJson(["<pad>"], specials)).toThrow(/"<pad>" is there twice/);
  });
});
