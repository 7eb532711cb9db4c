import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { grammars } from "../../lib/grm/grammar.js";
import { createPanelStream, type Panel } from "../../worlds/postcards/corpora.js";
import { annotate, renderJudgment, renderPanel } from "../../worlds/postcards/judgment.js";
import { utility } from "../../worlds/postcards/oracle.js";
import { parseQuery, renderQuery } from "../../worlds/postcards/query.js";

const panels = fc.nat().map((seed): Panel => createPanelStream(seed)());
const slips = { verdict: 0.3, weight: 0.3 };
const grammar = grammars.postcards;

describe("judgments of the postcards world", () => {
  test("the text of the documented example", () => {
    const query = parseQuery("query to friend from river be question thanks .");
    const responses = ["hey friend we saw boat and fish grateful ?", "dear aunt snow"];
    expect(renderJudgment(annotate(query, responses))).toBe(
      "principles question 3 thanks 2 topic 2 greeting 1 " +
        "critique question yes no thanks yes no topic yes no greeting yes no scores 10 1",
    );
  });

  test("the parser reads back every judgment, with or without slips", () => {
    fc.assert(
      fc.property(panels, fc.boolean(), fc.nat(), ({ query, responses }, slipping, seed) => {
        const judgment = annotate(query, responses, slipping ? slips : undefined, createRandom(seed));
        const parsed = grammar.parse(renderJudgment(judgment), responses.length);
        expect(parsed.ok && parsed.scores).toEqual(judgment.scores);
      }),
    );
  });

  test("the cluster's prompt is the one that the GRM is trained on", () => {
    fc.assert(
      fc.property(panels, ({ query, responses }) => {
        const clean = responses.filter(
          (text) => !/(^| )(\.|response|query|scores|principles|critique)( |$)/.test(text),
        );
        const input = { query: [{ role: "user" as const, content: renderQuery(query) }], responses: clean };
        expect(grammar.prompt(input)).toEqual([{ role: "user", content: renderPanel(query, clean) }]);
      }),
    );
  });

  test("without slips the scores are the oracle's, from 1 to 10", () => {
    fc.assert(
      fc.property(panels, ({ query, responses }) => {
        const { scores } = annotate(query, responses);
        expect(scores).toEqual(responses.map((text) => 1 + Math.round(9 * utility(query, text))));
      }),
    );
  });

  test("scores follow from the weights and verdicts that the judgment states, slips included", () => {
    fc.assert(
      fc.property(panels, fc.nat(), ({ query, responses }, seed) => {
        const { principles, met, scores } = annotate(query, responses, slips, createRandom(seed));
        const total = principles.reduce((sum, { weight }) => sum + weight, 0);
        responses.forEach((_, r) => {
          const share =
            principles.reduce((sum, { weight }, c) => sum + (met[c]?.[r] ? weight : 0), 0) / total;
          expect(scores[r]).toBe(1 + Math.round(9 * share));
        });
        expect(principles.every(({ weight }) => weight >= 1 && weight <= 3)).toBe(true);
      }),
    );
  });

  test("verdicts are turned round about as often as asked for", () => {
    const draw = createPanelStream(3);
    const random = createRandom(4);
    let turned = 0;
    let all = 0;
    for (let i = 0; i < 1000; i++) {
      const { query, responses } = draw();
      const slipped = annotate(query, responses, { verdict: 0.15, weight: 0 }, random).met.flat();
      const truth = annotate(query, responses).met.flat();
      all += truth.length;
      turned += truth.filter((yes, v) => yes !== slipped[v]).length;
    }
    expect(turned / all).toBeCloseTo(0.15, 1);
  });
});
