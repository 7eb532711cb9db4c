import { statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { measureGrm, measureMetaRm, policyUtility } from "../../cli/models/measure-postcards.js";
import { packagePath } from "../../lib/core/package-root.js";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { openCheckpoint } from "../../lib/llama/checkpoint.js";
import { createTokenizer } from "../../lib/llama/tokenizer.js";
import { heldOutQueries } from "../../worlds/postcards/query.js";
import { words } from "../../worlds/postcards/vocabulary.js";

const folder = (model: string): string => packagePath("models", `postcards-${model}`);

// Seeds are fixed and the engine is exact, so these figures do not waver.
describe("the postcards checkpoints that come with covote", () => {
  test.each(["policy", "grm", "meta-rm"])(
    "%s: at most 3 MB, and it knows the world's words",
    async (model) => {
      expect(statSync(`${folder(model)}/model.safetensors`).size).toBeLessThan(3_000_000);
      const tokenizer = createTokenizer(await openCheckpoint(folder(model)));
      expect(words.map((word) => tokenizer.idOf(word))).toEqual(words.map((_, id) => id));
    },
  );

  test("the policy starts mediocre", async () => {
    const policy = await openCheckpoint(folder("policy"));
    const queries = heldOutQueries(200, createRandom(seedFrom("held-out")));
    const mean = await policyUtility(policy, createTokenizer(policy), queries, 1);
    expect(mean).toBeGreaterThan(0.3);
    expect(mean).toBeLessThan(0.45);
  });

  test("one vote of the GRM is right on 70 to 80 % of held-out pairs, eight gain 3 points and more", async () => {
    const grm = await openCheckpoint(folder("grm"));
    const options = { threads: 1, pairs: 300, panels: 50, seed: 1 };
    const { pairs, unparsable } = await measureGrm(grm.weights, createTokenizer(grm), options);
    expect(pairs.one).toBeGreaterThan(0.7);
    expect(pairs.one).toBeLessThan(0.8);
    expect(pairs.eight).toBeGreaterThan(pairs.one + 0.03);
    expect(unparsable).toBeLessThan(0.02);
  });

  test("the meta RM tells right votes from wrong ones, and picks better votes than chance", async () => {
    const grm = await openCheckpoint(folder("grm"));
    const metaRm = await openCheckpoint(folder("meta-rm"));
    const options = { threads: 1, panels: 150, seed: 1 };
    const figures = await measureMetaRm(grm.weights, metaRm.weights, createTokenizer(grm), options);
    expect(figures.areaUnderCurve).toBeGreaterThan(0.65);
    expect(figures.kept).toBeGreaterThan(figures.random);
  });
});
