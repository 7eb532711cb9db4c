/** Our numbers against Hugging Face's; how the golden files were made is in make_llama_golden.py. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packagePath } from "../../lib/core/package-root.js";
import { openCheckpoint, saveCheckpoint } from "../../lib/llama/checkpoint.js";
import { createDecoder } from "../../lib/llama/decoder.js";
import { createKernels } from "../../lib/llama/kernels.js";
import { createScorer } from "../../lib/llama/scorer.js";
import { type ChatTurn, createTokenizer } from "../../lib/llama/tokenizer.js";

interface Golden {
  texts: { text: string; ids: number[] }[];
  chats: { messages: ChatTurn[]; addGenerationPrompt: boolean; text: string; ids: number[] }[];
  sequences: { ids: number[]; logits: number[][] }[];
}

const folderOf = (name: string): string => packagePath("test", "golden", name);
const goldenOf = (name: string): Golden =>
  JSON.parse(readFileSync(join(folderOf(name), "golden.json"), "utf8")) as Golden;

describe.each(["llama-lm", "llama-scalar"])("%s, as transformers wrote it", (name) => {
  const golden = goldenOf(name);

  test("texts have transformers' token ids, chats its text and ids", async () => {
    const tokenizer = createTokenizer(await openCheckpoint(folderOf(name)));
    for (const { text, ids } of golden.texts) expect(tokenizer.encode(text)).toEqual(ids);
    for (const { messages, addGenerationPrompt, text, ids } of golden.chats) {
      expect(tokenizer.render(messages, { addGenerationPrompt })).toBe(text);
      expect(tokenizer.chat(messages, { addGenerationPrompt })).toEqual(ids);
    }
  });

  // Set COVOTE_GOLDEN_OUT to a folder to keep what is written here for `make_llama_golden.py check`.
  test.skipIf(process.env.COVOTE_GOLDEN_OUT === undefined)(
    "is written for transformers to check",
    async () => {
      const checkpoint = await openCheckpoint(folderOf(name));
      const out = process.env.COVOTE_GOLDEN_OUT as string;
      await saveCheckpoint(join(out, "float32", name), checkpoint, { dtype: "float32" });
      await saveCheckpoint(join(out, "bfloat16", name), checkpoint, { dtype: "bfloat16" });
    },
  );
});

test("logits are within 1e-4 of transformers', at every position", async () => {
  const { config, weights } = await openCheckpoint(folderOf("llama-lm"));
  const kernels = createKernels();
  const decoder = createDecoder({ config, kernels, maxRows: 64, pages: 4 });
  decoder.load(weights);
  const table = decoder.createTable();
  for (let page = 0; page < 4; page++) decoder.setTable(table, page, page, 16);
  for (const { ids, logits } of goldenOf("llama-lm").sequences) {
    decoder.clear();
    ids.forEach((token, at) => {
      decoder.add(token, at, at, table);
      decoder.want();
    });
    decoder.run();
    logits.forEach((row, at) => {
      const ours = kernels.floats(decoder.result(at), config.vocabSize);
      row.forEach((logit, token) => {
        expect(Math.abs((ours[token] as number) - logit)).toBeLessThan(1e-4);
      });
    });
  }
});

test("scores are within 1e-4 of transformers'", async () => {
  const { config, weights } = await openCheckpoint(folderOf("llama-scalar"));
  const scorer = createScorer({ config, weights, kernels: createKernels() });
  const { sequences } = goldenOf("llama-scalar");
  sequences.forEach(({ ids }, i) => {
    scorer.submit({ id: `${i}`, tokens: ids });
  });
  const outcomes = scorer.step();
  expect(outcomes.length).toBe(sequences.length);
  for (const outcome of outcomes) {
    if (outcome.t === "failed") throw outcome.error;
    const expected = sequences[Number(outcome.id)]?.logits as unknown as number[];
    expect(Math.abs(outcome.score - (expected[0] as number))).toBeLessThan(1e-4);
  }
});
