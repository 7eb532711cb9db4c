import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { principlesOf, utility, verdicts } from "../../worlds/postcards/oracle.js";
import {
  allQueries,
  heldOutQueries,
  parseQuery,
  renderQuery,
  splitOf,
} from "../../worlds/postcards/query.js";
import { words } from "../../worlds/postcards/vocabulary.js";

const met = (query: string, card: string): string[] =>
  verdicts(parseQuery(query), card)
    .filter((v) => v.met)
    .map((v) => v.criterion);

describe("queries", () => {
  test("every query is read back from its text", () => {
    for (const query of allQueries()) expect(parseQuery(renderQuery(query))).toEqual(query);
  });

  test("there are 4,680, and none asks for short and long at once", () => {
    const all = allQueries();
    expect(new Set(all.map(renderQuery)).size).toBe(4680);
    expect(all.some(({ requests: r }) => r.includes("short") && r.includes("long"))).toBe(false);
  });

  test("about a tenth is held out, whatever the seed", () => {
    const share = allQueries().filter((q) => splitOf(q) === "held-out").length / 4680;
    expect(share).toBeGreaterThan(0.08);
    expect(share).toBeLessThan(0.12);
    const drawn = heldOutQueries(200, createRandom(1));
    expect(new Set(drawn.map(renderQuery)).size).toBe(200);
    expect(drawn.every((q) => splitOf(q) === "held-out")).toBe(true);
  });

  test.each([
    "query to friend from river be .",
    "query to friend from river be short long .",
    "query to friend from river be thanks thanks .",
    "query to friend from moon be thanks .",
    "query to friend from river be thanks",
    "",
  ])("refuses %j and names the field", (text) => {
    expect(() => parseQuery(text)).toThrow(/^query: not a postcards query/);
  });
});

describe("the oracle", () => {
  const question = "query to friend from river be question thanks .";

  test("a card that meets everything is worth 1", () => {
    const card = "hey friend we saw boat and fish grateful ?";
    expect(met(question, card)).toEqual(["question", "thanks", "topic", "greeting"]);
    expect(utility(parseQuery(question), card)).toBe(1);
  });

  test("the first request weighs most, and the boss minds the greeting", () => {
    expect(principlesOf(parseQuery(question)).map((p) => p.weight)).toEqual([3, 2, 2, 1]);
    expect(principlesOf(parseQuery("query to boss from sea be short .")).at(-1)).toEqual({
      criterion: "greeting",
      weight: 3,
    });
    expect(utility(parseQuery(question), "boat fish ?")).toBeCloseTo(5 / 8);
    expect(utility(parseQuery(question), "boat fish grateful")).toBeCloseTo(4 / 8);
  });

  test("the greeting must open the card, fit the recipient and stand alone", () => {
    expect(met(question, "hi friend")).toEqual(["greeting"]);
    expect(met(question, "hi aunt")).toEqual([]);
    expect(met(question, "dear friend")).toEqual([]);
    expect(met(question, "we hi friend")).toEqual([]);
    expect(met(question, "hi friend hey")).toEqual([]);
  });

  test("short is 3 to 6 words, long 9 to 11", () => {
    const short = "query to friend from river be short .";
    const long = "query to friend from river be long .";
    const text = (n: number): string => Array.from({ length: n }, (_, i) => words[60 + i]).join(" ");
    const lengths = Array.from({ length: 14 }, (_, n) => n);
    expect(lengths.filter((n) => met(short, text(n)).includes("short"))).toEqual([3, 4, 5, 6]);
    expect(lengths.filter((n) => met(long, text(n)).includes("long"))).toEqual([9, 10, 11]);
  });

  test("a word said twice makes no card longer, and no topic richer", () => {
    const long = "query to friend from river be long .";
    expect(met(long, "hey friend we saw the boat fish fish fish")).toEqual(["topic", "greeting"]);
    expect(met(long, "hey friend we saw the fish fish fish so")).toEqual(["greeting"]);
  });

  test("an empty card meets nothing, nor does one of more than 11 words", () => {
    expect(met(question, "")).toEqual([]);
    expect(met(question, "hey friend we saw boat and fish with love so grateful ?")).toEqual([]);
  });

  test.each([
    ["a word of another place", "hey friend boat fish camel"],
    ["something nobody asked for", "hey friend boat fish red"],
    ["a word that cards don't have", "hey friend boat fish scores"],
  ])("%s leads away from the topic", (_, card) => {
    expect(met(question, "hey friend boat fish")).toContain("topic");
    expect(met(question, card)).not.toContain("topic");
  });

  test("an extra counts once: two of a kind meet no request", () => {
    expect(met(question, "grateful")).toContain("thanks");
    expect(met(question, "grateful obliged")).not.toContain("thanks");
    expect(met(question, "? ?")).not.toContain("question");
    expect(met(question, "? boat")).not.toContain("question");
  });

  test("utility lies in [0, 1] for any text", () => {
    const query = fc.constantFrom(...allQueries());
    const card = fc.array(fc.constantFrom(...words), { maxLength: 15 }).map((list) => list.join(" "));
    fc.assert(
      fc.property(query, card, (q, text) => {
        const u = utility(q, text);
        return u >= 0 && u <= 1;
      }),
    );
  });

  test("no one card pays everywhere: the best fixed text earns less than half of the utility", () => {
    const queries = allQueries().filter((_, i) => i % 17 === 0);
    const stuffed = [
      "hey friend boat fish grateful two red ?",
      "dear aunt boat camel grateful two red ?",
      "hey dear respected friend boat tram snow waves sand deer ?",
    ];
    for (const card of stuffed) {
      const mean = queries.reduce((sum, q) => sum + utility(q, card), 0) / queries.length;
      expect(mean).toBeLessThan(0.5);
    }
  });
});
