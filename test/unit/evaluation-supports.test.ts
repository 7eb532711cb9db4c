import { expect, test } from "vitest";
import { type AskedItem, supports } from "../../lib/evaluation/asked-votes.js";

const filtered = { name: "meta@2", k: 2, metaKeep: 1, greedy: false };
const asked = (scores: (number[] | null)[], metaRm: string): AskedItem => ({
  ...{ item: "a", asked: "d-h", judge: "j", metaRm, greedy: [], refused: null },
  votes: scores.map((each, place) => ({
    ...{ id: `${place}`, order: [0, 1], scores: each, meta: null, layer: `${place}:0`, principles: "" },
  })),
});

test("votes that no meta RM rated say nothing about filtering", () => {
  expect(supports(asked([[9, 2], null], ""), filtered)).toBe(false);
  expect(supports(asked([[9, 2], null], "m1"), filtered)).toBe(true);
});

test("an item whose votes all failed is part of every figure: there was nothing to rate", () => {
  expect(supports(asked([null, null], ""), filtered)).toBe(true);
});
