import fc from "fast-check";
import { expect, test } from "vitest";
import { grammars } from "../../lib/grm/grammar.js";
import { withoutPrinciples } from "../../lib/grm/postcards-critique.js";
import { createPanelStream } from "../../worlds/postcards/corpora.js";
import { annotate, renderJudgment } from "../../worlds/postcards/judgment.js";

const grammar = grammars["postcards-critique"];
const judgments = fc.integer({ min: 0, max: 1000 }).map((seed) => {
  const panel = createPanelStream(seed)();
  const text = renderJudgment(annotate(panel.query, panel.responses));
  return { text, n: panel.responses.length };
});

test("a judgment without its principles has the same critique and the same scores", () => {
  fc.assert(
    fc.property(judgments, ({ text, n }) => {
      const whole = grammars.postcards.parse(text, n);
      const cut = withoutPrinciples(text.split(" "), "critique").join(" ");
      expect(grammar.parse(cut, n)).toEqual({ ...whole, principles: "" });
      expect(cut.split(" ").length + 1).toBeLessThanOrEqual(grammar.maxTokens(n));
      expect(grammar.parse(text, n)).toMatchObject({ ok: false, kind: "bad_critique" });
    }),
  );
});

test.each([
  ["", "empty", "the judgment is empty"],
  ["critique", "truncated", "the text ends where a criterion is due"],
  ["critique scores 3 4", "bad_critique", '"scores" where a criterion is due (word 2)'],
  ["critique thanks yes", "truncated", "the text ends where a verdict on response 2 for thanks is due"],
  ["critique thanks yes no thanks no no scores 1 2", "bad_critique", "criterion thanks comes twice"],
  ["critique thanks yes no yes scores 1 2", "missing_scores", '"yes" where a criterion or `scores` is due'],
  ["critique thanks yes no scores 1", "wrong_count", "1 scores for 2 responses"],
  ["critique thanks yes no scores 1 11", "out_of_range", 'score "11" is not within 1 to 10'],
  ["critique thanks yes no scores 1 x", "not_integer", '"x" where the score of response 2 is due'],
  ["critique thanks yes no scores 1 2 3", "trailing_text", '"3" after the last score'],
])("%j is no judgment of two: %s", (text, kind, message) => {
  const parsed = grammar.parse(text, 2);
  expect(parsed).toMatchObject({ ok: false, kind });
  expect(parsed.ok ? "" : parsed.message).toContain(message);
});

test("any words at all are a judgment or a named failure", () => {
  const word = fc.constantFrom("critique", "scores", "thanks", "topic", "yes", "no", "1", "10", "0", "?");
  fc.assert(
    fc.property(fc.array(word), fc.integer({ min: 1, max: 4 }), (words, n) => {
      const parsed = grammar.parse(words.join(" "), n);
      if (parsed.ok) expect(parsed.scores).toHaveLength(n);
      else expect(parsed.message).not.toBe("");
    }),
  );
});
