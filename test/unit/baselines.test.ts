import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { critiqueOf } from "../../cli/baselines/conversations.js";
import { checkItems, readLearningItems } from "../../cli/baselines/items.js";
import { roundRobin } from "../../cli/baselines/judge-scalar.js";
import { pickForm } from "../../cli/baselines/pick-form.js";
import { preferenceBatch } from "../../cli/baselines/train-scalar.js";
import { invalid } from "../../lib/core/errors.js";
import {
  type AskedItem,
  parseAskedItem,
  renderAskedItem,
  supports,
} from "../../lib/evaluation/asked-votes.js";
import type { EvaluationItem } from "../../lib/evaluation/items.js";
import { grammars } from "../../lib/grm/grammar.js";
import { binaryCrossEntropy, bradleyTerry } from "../../lib/llama/losses.js";

const dir = mkdtempSync(join(tmpdir(), "covote-baselines-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string, ...lines: object[]): string => {
  const path = join(dir, name);
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return path;
};
const read = (data: string, items = 100) => readLearningItems({ data, items, seed: 1 });

const judgment = "principles thanks 3 topic 2 critique thanks yes no topic no no scores 7 1";

describe("a pick", () => {
  test("stands where the scores stood, after the same principles and critique", () => {
    const form = pickForm("postcards");
    const written = form.rewrite(judgment, 2, 0);
    expect(written).toBe("principles thanks 3 topic 2 critique thanks yes no topic no no response 1");
    expect(form.read(written, 2)).toBe(0);
  });

  test.each([
    ["names nobody", "principles thanks 3 critique thanks yes no"],
    ["names more than there are", "critique thanks yes no response 3"],
    ["counts from zero", "critique thanks yes no response 0"],
    ["goes on after the pick", "response 1 response"],
    ["is empty", ""],
  ])("is none when the text %s", (_, text) => {
    expect(pickForm("postcards").read(text, 2)).toBeNull();
  });

  test("in prose is the last box, asked for after the reward model's own prompt", () => {
    const form = pickForm("deepseek-grm");
    const input = { query: [{ role: "user" as const, content: "Why?" }], responses: ["a", "b"] };
    const own = grammars["deepseek-grm"].prompt(input);
    const asked = form.ask(input);
    expect(asked).toHaveLength(own.length);
    expect(asked.at(-1)?.content.startsWith(own.at(-1)?.content ?? "none")).toBe(true);
    expect(form.read("first \\boxed{1}, no: \\boxed{ 2 }", 2)).toBe(1);
    expect(form.read("\\boxed{2, 9}", 2)).toBeNull();
  });

  test("is refused in a grammar that shows one response at a time", () => {
    expect(() => pickForm("deepseek-grm-single")).toThrow(/^grm\.grammar: /);
  });
});

test("a critique is what was written before the scores; an unreadable one is all that was written", () => {
  const { postcards } = grammars;
  expect(critiqueOf(postcards, judgment, 2)).toBe(
    "principles thanks 3 topic 2 critique thanks yes no topic no no",
  );
  expect(critiqueOf(postcards, "hm", 2)).toBe("hm");
});

describe("a round robin", () => {
  const duelsOf = (strengths: readonly number[], bias: number) =>
    strengths.flatMap((a, first) =>
      strengths.flatMap((b, second) => (first === second ? [] : [{ first, second, logit: a - b + bias }])),
    );
  const strengths = fc.array(fc.integer({ min: -6, max: 6 }), { minLength: 2, maxLength: 6 });

  test("orders responses as their strengths do, and a liking for the first place changes nothing", () => {
    fc.assert(
      fc.property(strengths, fc.integer({ min: -3, max: 3 }), (each, bias) => {
        const rewards = roundRobin(each.length, duelsOf(each, bias));
        each.forEach((a, i) => {
          each.forEach((b, j) => {
            if (a > b) expect(rewards[i]).toBeGreaterThan(rewards[j] as number);
            if (a === b) expect(rewards[i]).toBeCloseTo(rewards[j] as number, 12);
          });
        });
        expect(rewards.reduce((sum, reward) => sum + reward, 0)).toBeCloseTo(each.length / 2, 10);
      }),
    );
  });
});

describe("the Bradley-Terry loss", () => {
  test("is the cross-entropy of the margins, and its gradient is the finite difference", () => {
    const scores = [0.3, -1.2, 2];
    const pairs = [
      { better: 0, worse: 1 },
      { better: 0, worse: 2 },
    ];
    const { loss, accuracy, coefficients } = bradleyTerry(scores, pairs);
    expect(loss).toBeCloseTo(binaryCrossEntropy([1.5, -1.7], [1, 1]).loss, 12);
    expect(accuracy).toBe(0.5);
    scores.forEach((score, i) => {
      const at = (value: number): number => bradleyTerry(scores.with(i, value), pairs).loss;
      expect(coefficients[i]).toBeCloseTo((at(score + 1e-5) - at(score - 1e-5)) / 2e-5, 6);
    });
  });

  test("a constant added to all scores changes nothing", () => {
    const pairs = [{ better: 1, worse: 0 }];
    expect(bradleyTerry([1, 2], pairs).loss).toBeCloseTo(bradleyTerry([101, 102], pairs).loss, 10);
  });

  test("refuses pairs of what is not there", () => {
    expect(() => bradleyTerry([1], [{ better: 0, worse: 1 }])).toThrow(/^pairs: /);
    expect(() => bradleyTerry([1], [])).toThrow(/^pairs: none/);
  });
});

describe("what a baseline learns from", () => {
  test("items of two responses or more; what has no better response is counted and left out", () => {
    const path = file(
      "mixed.jsonl",
      { query: "a", responses: ["x", "y"], best: 1 },
      { query: "a", responses: ["x"], scores: [1] },
      { query: "a", responses: ["x", "y"], scores: [2, 2] },
      { query: "a", responses: ["x", "y", "z"], scores: [2, 3, 1] },
    );
    const { items, singles, unlabelled } = read(path);
    expect(items.map(({ line, best }) => [line, best])).toEqual([
      [1, 1],
      [4, 1],
    ]);
    expect({ singles, unlabelled }).toEqual({ singles: 1, unlabelled: 1 });
  });

  test("a file of single responses has no pair", () => {
    const path = file("singles.jsonl", { query: "a", responses: ["x"], scores: [1] });
    expect(() => read(path)).toThrow(/^\[data\]: .*singles\.jsonl: has no pair to learn from: all 1 items/);
  });

  test("a bad line is named with its number", () => {
    const path = file("bad.jsonl", { query: "a", responses: ["x", "y"], best: 1 }, { query: "a" });
    expect(() => read(path)).toThrow(/^\[data\]: .*bad\.jsonl: line 2: responses: /);
  });

  test("items that cannot be shown are found beforehand, with their count", () => {
    const { items } = read(
      file("long.jsonl", ...["a", "b", "c"].map((query) => ({ query, responses: ["x", "y"], best: 0 }))),
    );
    const refuse = (line: number) => {
      if (line > 1) throw invalid("responses", "too long");
    };
    expect(() => checkItems("long.jsonl", items, ({ line }) => refuse(line ?? 0))).toThrow(
      "[data]: long.jsonl: line 2: responses: too long (2 bad lines in all)",
    );
  });

  test("the demo world's are the same for the same seed, and others for another", () => {
    const demo = (seed: number) => readLearningItems({ data: "postcards", items: 5, seed }).items;
    expect(demo(1)).toEqual(demo(1));
    expect(demo(1)).not.toEqual(demo(2));
    expect(demo(1).every(({ responses, best }) => responses.length > 1 && best < responses.length)).toBe(
      true,
    );
  });

  test("every other response of an item is worse than the best", () => {
    const items = read(file("three.jsonl", { query: "a", responses: ["x", "y", "z"], best: 1 })).items;
    const twice = [...items, ...items];
    const { sequences, pairs } = preferenceBatch(twice, ({ responses }) => responses.map(() => [7]));
    expect(sequences).toHaveLength(6);
    expect(pairs).toEqual([
      { better: 1, worse: 0 },
      { better: 1, worse: 2 },
      { better: 4, worse: 3 },
      { better: 4, worse: 5 },
    ]);
  });
});

test("votes of a judge without dice say so in their file, and stand for any number of votes and for greedy", () => {
  const vote = {
    id: "000000000",
    order: [0, 1],
    scores: [0.25, 0.75],
    meta: null,
    layer: "0:0",
    principles: "",
  };
  const asked: AskedItem = {
    ...{ item: "x", asked: "a-b", judge: "scalar-1", metaRm: "", votes: [vote], greedy: [vote] },
    ...{ refused: null, deterministic: true },
  };
  const item = {
    ...{ id: "x", file: "f", line: 1, cluster: "x", cells: ["all"], query: [], responses: ["a", "b"] },
    ...{ reference: null, models: null, target: { t: "pick", right: [1] }, panelLimit: null },
  } as unknown as EvaluationItem;
  const again = parseAskedItem(renderAskedItem(asked, item));
  expect(again.deterministic).toBe(true);
  const condition = { name: "vote@32", k: 32, metaKeep: null, greedy: false };
  expect(supports(again, condition)).toBe(true);
  expect(supports(again, { ...condition, greedy: true })).toBe(true);
  expect(supports(again, { ...condition, metaKeep: 16 })).toBe(false);
  const { deterministic: _, ...dicing } = again;
  expect(supports(dicing, condition)).toBe(false);
});
