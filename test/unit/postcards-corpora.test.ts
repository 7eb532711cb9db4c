import { describe, expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { createCardStream, createPanelStream } from "../../worlds/postcards/corpora.js";
import { utility } from "../../worlds/postcards/oracle.js";
import { type Query, renderQuery, splitOf } from "../../worlds/postcards/query.js";
import { cardWords, maxCardWords, words } from "../../worlds/postcards/vocabulary.js";
import { damageCard, writeCard } from "../../worlds/postcards/writer.js";

const take = <T>(draw: () => T, count: number): T[] => Array.from({ length: count }, draw);

describe("the corpora of the postcards world", () => {
  test("a seed gives the same stream again, another seed another one", () => {
    expect(take(createCardStream(1), 50)).toEqual(take(createCardStream(1), 50));
    expect(take(createPanelStream(1), 50)).toEqual(take(createPanelStream(1), 50));
    expect(take(createPanelStream(1), 50)).not.toEqual(take(createPanelStream(2), 50));
  });

  test("training and held-out streams share no query", () => {
    const splits = (draw: () => { query: Query }): Set<string> =>
      new Set(take(draw, 3000).map(({ query }) => splitOf(query)));
    expect([...splits(createCardStream(1))]).toEqual(["train"]);
    expect([...splits(createPanelStream(1, "train"))]).toEqual(["train"]);
    expect([...splits(createPanelStream(1, "held-out"))]).toEqual(["held-out"]);
  });

  test("the cards that the policy imitates are mediocre and differ", () => {
    const cards = take(createCardStream(1), 3000);
    const mean = cards.reduce((sum, { query, response }) => sum + utility(query, response), 0) / cards.length;
    expect(mean).toBeGreaterThan(0.36);
    expect(mean).toBeLessThan(0.43);
    expect(new Set(cards.map(({ response }) => response)).size).toBeGreaterThan(2700);
    expect(cards.every(({ response }) => response.split(" ").every((word) => cardWords.has(word)))).toBe(
      true,
    );
  });

  test("panels hold one to four responses of the vocabulary, of every quality", () => {
    const panels = take(createPanelStream(1), 3000);
    expect(new Set(panels.map(({ responses }) => responses.length))).toEqual(new Set([1, 2, 3, 4]));
    const utilities = panels.flatMap(({ query, responses }) => responses.map((text) => utility(query, text)));
    const share = (low: number, high: number): number =>
      utilities.filter((u) => u >= low && u <= high).length / utilities.length;
    for (const low of [0, 0.2, 0.4, 0.6, 0.8]) expect(share(low, low + 0.2)).toBeGreaterThan(0.1);
    for (const { responses } of panels) {
      for (const text of responses) {
        const list = text === "" ? [] : text.split(" ");
        expect(list.length).toBeLessThanOrEqual(maxCardWords);
        expect(list.every((word) => words.includes(word))).toBe(true);
      }
    }
  });

  test("a perfect writer's cards are worth nearly 1", () => {
    const random = createRandom(1);
    const perfect = { greeting: 1, topic: 1, request: 1, stray: 0, excess: 0, repeat: 0 };
    const utilities = take(createCardStream(2), 1000).map(({ query }) =>
      utility(query, writeCard(query, perfect, random)),
    );
    expect(utilities.reduce((sum, u) => sum + u, 0) / 1000).toBeGreaterThan(0.97);
  });

  test("damage to a card never makes it longer than a card, the empty card included", () => {
    const random = createRandom(1);
    for (const { response } of take(createCardStream(3), 500)) {
      for (const card of [response, ""]) {
        const damaged = damageCard(card, random);
        expect(damaged.split(" ").length).toBeLessThanOrEqual(maxCardWords);
        expect(damaged).toBe(damaged.trim().replace(/ +/g, " "));
      }
    }
  });
});

test("the vocabulary has no word twice, and queries render in it", () => {
  expect(new Set(words).size).toBe(words.length);
  const { query } = createCardStream(1)();
  expect(
    renderQuery(query)
      .split(" ")
      .every((word) => words.includes(word)),
  ).toBe(true);
});
