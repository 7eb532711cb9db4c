import { expect, test } from "vitest";
import { grammars } from "../../lib/grm/grammar.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { openRejective } from "../../services/grpo-learner/rejective.js";

const config = (over: Record<string, unknown>) =>
  compileCovoteConfig({ overrides: { "training.role": "grm", ...over } });

test.each([
  [{ "training.corpus": "postcards" }, "training.corpus: needs training.method rft"],
  [{ "training.rejection": false }, "training.rejection: needs training.method rft"],
  [{ "training.principles": false }, "training.principles: needs training.method rft"],
  [{ "training.method": "rft", "training.corpusShare": 1 }, "training.corpusShare"],
])("%j is refused", (over, message) => {
  expect(() => config(over)).toThrow(message);
});

test("what is of the postcards grammar goes with no other", async () => {
  const open = (over: Record<string, unknown>) =>
    openRejective(config({ "training.method": "rft", ...over }), grammars["deepseek-grm"]);
  await expect(open({ "training.corpus": "postcards" })).rejects.toThrow(
    "training.corpus: postcards has judgments of the grammar postcards, not deepseek-grm",
  );
  await expect(open({ "training.principles": false })).rejects.toThrow("training.principles: cannot be cut");
});

test("a judgment is cut before its critique, and the corpus is written the same way", async () => {
  const over = { "training.method": "rft", "training.principles": false, "training.corpus": "postcards" };
  const { learned, corpus, rejection } = await openRejective(config(over), grammars.postcards);
  expect(rejection).toBe(true);
  expect(corpus?.share).toBe(0.5);
  const [example] = corpus?.examples.draw(0, 1) ?? [];
  const answer = Array.from(example?.tokenIds ?? []).slice(example?.firstTarget);
  expect(learned?.([7, 8, ...answer])).toEqual(answer);
});
