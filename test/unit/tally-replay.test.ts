import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { packagePath } from "../../lib/core/package-root.js";
import { parseRecordedItem, type RecordedItem } from "../../lib/tally/recorded-votes.js";
import { createReplayTotals, type ReplayedItem, replayItem } from "../../lib/tally/replay.js";

function llmbar(file: string): RecordedItem[] {
  const text = readFileSync(packagePath("test/data/llmbar", file), "utf8");
  return text.trimEnd().split("\n").map(parseRecordedItem);
}

const options = { k: 7, metaKeep: null, seed: 1 };

function replayAll(items: readonly RecordedItem[], k: number, seed = 1) {
  const totals = createReplayTotals(k);
  for (const item of items) totals.add(replayItem(item, { k, metaKeep: null, seed }));
  return totals.summary();
}

function item(votes: object[], best?: number, name = "x"): RecordedItem {
  return parseRecordedItem(JSON.stringify({ item: name, best, votes }));
}

test("replay: all seven ratings of 20 LLMBar items give 16 right picks, one tie and three wrong ones", () => {
  // By hand: 026, 061 and gptout-024 pick the other response, gptout-018 ties at 63 to 63.
  expect(replayAll(llmbar("ratings.jsonl"), 7)).toEqual({
    items: 20,
    labelled: 20,
    accuracy: 16.5 / 20,
    strictAccuracy: 16 / 20,
    tieRate: 1 / 20,
    shortItems: 0,
    unjudgedItems: 0,
  });
});

test("replay: failed ratings leave the mean of the others, they are no zeros", () => {
  const recorded = llmbar("ratings.jsonl").find(
    (each) => each.item === "adversarial-gptinst-061",
  ) as RecordedItem;
  expect(replayItem(recorded, options)).toMatchObject({
    rewards: [0, 9 / 7],
    sums: [0, 9],
    pick: 1,
    tied: false,
    votesDrawn: 7,
    votesUsable: 7,
  });
  const harsh = item([{ scores: [9, 8] }, { scores: [null, 1] }, { scores: null }], 0);
  expect(replayItem(harsh, { ...options, k: 3 })).toMatchObject({
    rewards: [9, 4.5],
    pick: 0,
    votesDrawn: 3,
    votesUsable: 2,
    votesUsed: 2,
  });
});

test("replay: ties become rarer with more votes", () => {
  const items = llmbar("ratings.jsonl");
  const meanTies = (k: number): number => {
    const rates = Array.from({ length: 50 }, (_, seed) => replayAll(items, k, seed).tieRate as number);
    return rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  };
  expect(meanTies(5)).toBeLessThan(meanTies(1) / 2);
});

test("replay: 130 verdicts of an item are counted whole, and 32 are drawn without replacement", () => {
  const [recorded] = llmbar("verdicts.jsonl") as [RecordedItem];
  const all = replayItem(recorded, { ...options, k: 130 });
  const ones = recorded.votes.filter((vote) => vote.scores?.[0] === 1).length;
  expect(all.sums).toEqual([ones, 130 - ones]);
  const some = replayItem(recorded, { ...options, k: 32 });
  expect((some.sums[0] as number) + (some.sums[1] as number)).toBe(32);
});

test("replay: the draw depends on seed and item alone, and k votes are the beginning of k + 1", () => {
  const votes = Array.from({ length: 12 }, (_, index) => ({ scores: [2 ** index] }));
  const drawn = (k: number, seed: number, name: string): number =>
    replayItem(item(votes, undefined, name), { k, metaKeep: null, seed }).sums[0] as number;
  expect(drawn(5, 1, "x")).toBe(drawn(5, 1, "x"));
  expect(drawn(5, 1, "x")).not.toBe(drawn(5, 2, "x"));
  expect(drawn(5, 1, "x")).not.toBe(drawn(5, 1, "y"));
  for (let k = 1; k < 12; k++) {
    // One more vote adds exactly one bit.
    expect((drawn(k + 1, 3, "x") - drawn(k, 3, "x")).toString(2)).toMatch(/^10*$/);
  }
});

test("replay: the recorded order is undone", () => {
  const turned = item([{ scores: [3, 7], order: [1, 0] }, { scores: [7, 3] }]);
  expect(replayItem(turned, options).rewards).toEqual([7, 3]);
});

test("replay: the meta filter keeps the best of the drawn votes", () => {
  const votes = [8, 5, 7].map((score, index) => ({
    scores: [score, 9 - index],
    meta: [-15.8, 1.3, 1.7][index],
  }));
  const replayed = replayItem(item(votes), { k: 3, metaKeep: 2, seed: 1 });
  expect(replayed).toMatchObject({ sums: [12, 15], votesUsed: 2, votesUsable: 3 });
});

test("replay: a tie is picked by the seed's coin and marked; both sides come up", () => {
  const tied = item([{ scores: [5, 5, 1] }], 0);
  const picks = Array.from({ length: 40 }, (_, seed) => replayItem(tied, { k: 1, metaKeep: null, seed }));
  expect(picks.every((each) => each.tied)).toBe(true);
  expect(new Set(picks.map((each) => each.pick))).toEqual(new Set([0, 1]));
});

test("replay totals: a shared top counts one half, a top without the best nothing, an unjudged item as a tie", () => {
  const cases: [votes: object[], best: number | undefined][] = [
    [[{ scores: [5, 5] }], 0],
    [[{ scores: [5, 5, 9, 9] }], 0],
    [[{ scores: [null, null] }, { scores: null }], 0],
    [[{ scores: [9, 5] }], 0],
    [[{ scores: [9, 5] }], undefined],
  ];
  const totals = createReplayTotals(2);
  for (const [votes, best] of cases)
    totals.add(replayItem(item(votes, best), { k: 2, metaKeep: null, seed: 1 }));
  expect(totals.summary()).toEqual({
    items: 5,
    labelled: 4,
    accuracy: (0.5 + 0 + 0.5 + 1) / 4,
    strictAccuracy: 1 / 4,
    tieRate: 3 / 5,
    shortItems: 4,
    unjudgedItems: 1,
  });
});

test("replay: an item whose votes all failed has no rewards and no pick", () => {
  const failed = item([{ scores: null }], 1);
  const replayed: ReplayedItem = replayItem(failed, options);
  expect(replayed).toMatchObject({ rewards: [null, null], pick: null, tied: true, top: [], votesUsed: 0 });
  // The label alone tells of one response or more; what could not be judged does not depend on which it names.
  for (const best of [0, 1]) {
    expect(replayItem(item([{ scores: null }], best), options)).toMatchObject({ tied: true, pick: null });
  }
  expect(replayItem(item([{ scores: null }]), options)).toMatchObject({
    rewards: [],
    pick: null,
    votesDrawn: 1,
  });
});
