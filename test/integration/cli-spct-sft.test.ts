/** `covote spct sft` as its user sees it. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram } from "../../cli/program.js";
import { openCheckpoint } from "../../lib/llama/checkpoint.js";
import { fakeTerminal } from "../support/terminal.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "covote-sft-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sft = async (...args: string[]) => {
  const terminal = fakeTerminal();
  await runProgram(
    ["spct", "sft", ...args, "--steps", "2", "--batch", "2", "--out", join(folder, "made")],
    terminal,
  );
  return terminal.out();
};

test("a corpus changes the weights, the same seed in the same way", async () => {
  const corpus = join(folder, "corpus.jsonl");
  const lines = ["hey", "dear", "hi"].map((answer) => JSON.stringify({ query: "query to aunt", answer }));
  writeFileSync(corpus, lines.join("\n"));
  const summary = JSON.parse(await sft(corpus, "--json")) as { loss: number; steps: number; corpus: string };
  expect(summary).toMatchObject({ steps: 2, corpus });
  expect(summary.loss).toBeGreaterThan(0);
  const made = await openCheckpoint(join(folder, "made"));
  rmSync(join(folder, "made"), { recursive: true });
  expect(await sft(corpus)).toContain("step 2 of 2");
  expect((await openCheckpoint(join(folder, "made"))).weights).toEqual(made.weights);
  expect(readdirSync(folder).toSorted()).toEqual(["corpus.jsonl", "made"]);
});

test("what cannot be learned is refused with its line, and nothing is made", async () => {
  const corpus = join(folder, "corpus.jsonl");
  writeFileSync(corpus, '{"query": "hey", "answer": "hey"}\n{"query": "hey", "answer": "haiku"}\n');
  await expect(sft(corpus)).rejects.toThrow(
    `[corpus]: ${corpus}: line 2: answer: has words that the model does not know`,
  );
  await expect(sft(join(folder, "none.jsonl"))).rejects.toThrow(/^\[corpus\]: cannot read .*none\.jsonl/);
  expect(existsSync(join(folder, "made"))).toBe(false);
});
