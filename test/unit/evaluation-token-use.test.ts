import { expect, test } from "vitest";
import {
  type AskedItem,
  type AskOptions,
  askedDigest,
  parseAskedItem,
  renderAskedItem,
  sameTexts,
} from "../../lib/evaluation/asked-votes.js";
import type { EvaluationItem } from "../../lib/evaluation/items.js";
import { noTokens, sumTokens, type TokenUse, tokenUseOf } from "../../lib/evaluation/token-use.js";

const use: TokenUse = {
  ...noTokens,
  votes: 8,
  prompt: 300,
  cached: 200,
  completion: 250,
  reused: 7,
  drawn: 1,
};
const item: EvaluationItem = {
  ...{ id: "a", file: "f", line: 1, subset: "s", query: [{ role: "user" as const, content: "q" }] },
  ...{ responses: ["x", "y"], reference: null, models: null, panelLimit: null, category: null },
  target: { t: "pick", right: [0] },
} as unknown as EvaluationItem;
const options: AskOptions = {
  votes: 8,
  temperature: 1,
  seed: 1,
  panelLimit: null,
  greedy: false,
  meta: false,
};

test("tokens are summed, and a sum of which one part is unknown is unknown", () => {
  expect(sumTokens([use, use])).toMatchObject({
    votes: 16,
    completion: 500,
    reused: 14,
    drawn: 2,
    fallback: 0,
  });
  expect(sumTokens([use, undefined])).toBeNull();
  expect(sumTokens([])).toBeNull();
});

test("what is kept of an item comes back with its tokens, and without them where there were none", () => {
  const asked: AskedItem = {
    ...{ item: "a", asked: "d-h", judge: "j", metaRm: "", greedy: [], refused: null },
    votes: [{ id: "0", order: [0, 1], scores: [9, 2], meta: null, layer: "0:0", principles: "" }],
  };
  expect(parseAskedItem(renderAskedItem({ ...asked, tokens: use }, item)).tokens).toEqual(use);
  expect(parseAskedItem(renderAskedItem(asked, item))).not.toHaveProperty("tokens");
  for (const broken of [{ ...use, votes: -1 }, { votes: 1 }, "8", null])
    expect(tokenUseOf(broken)).toBeUndefined();
});

test("votes with principles drawn apart are other votes on the same texts", () => {
  const [joint, none, one, four] = [undefined, 0, 1, 4].map((split) =>
    askedDigest(item, split === undefined ? options : { ...options, split }),
  ) as [string, string, string, string];
  expect(none).toBe(joint);
  expect(new Set([joint, one, four]).size).toBe(3);
  expect(sameTexts(joint, four)).toBe(true);
});

test("with and without a reference the same item is asked another way, about the same texts", () => {
  const [without, shown] = [item, { ...item, reference: "42" }].map((each) => askedDigest(each, options));
  expect(without).not.toBe(shown);
  expect(sameTexts(without ?? "", shown ?? "")).toBe(true);
});
