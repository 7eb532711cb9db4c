import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { postcardsTokenizer } from "../../cli/models/postcards-checkpoint.js";
import { grammars } from "../../lib/grm/grammar.js";
import { parseCorpus } from "../../lib/spct/corpus.js";
import { createDemoCorpus } from "../../lib/spct/demo-corpus.js";
import { openCorpus } from "../../services/grpo-learner/corpus.js";
import { corpusCount } from "../../services/grpo-learner/method.js";
import { utility } from "../../worlds/postcards/oracle.js";
import { parseQuery, splitOf } from "../../worlds/postcards/query.js";
import { panelOf } from "../support/reward-cluster.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "covote-corpus-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const tokenizer = postcardsTokenizer();
const open = (name: string, over: { seed?: number; maxPositions?: number; principles?: boolean } = {}) =>
  openCorpus({
    ...{ name, field: "training.corpus", seed: 1, tokenizer, maxPositions: 128, principles: true },
    ...over,
  });
const file = (...lines: unknown[]): string => {
  const path = join(folder, "corpus.jsonl");
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return path;
};

describe("a corpus file", () => {
  test("a query is text or a conversation; blank lines and a byte order mark are passed over", () => {
    const turns = [{ role: "user", content: "hey" }];
    const text = `\uFEFF{"query": "hey", "answer": "so fine"}\r\n\n${JSON.stringify({ query: turns, answer: "x" })}`;
    expect(parseCorpus(text)).toEqual([
      { messages: turns, answer: "so fine", line: 1 },
      { messages: turns, answer: "x", line: 3 },
    ]);
  });

  test.each([
    [["no object"], "line 1: line: is not a JSON object"],
    [[{ query: "hey" }], "line 1: answer: must be"],
    [[{ query: "hey", answer: " " }], "line 1: answer: is blank"],
    [
      [{ query: [], answer: "hey" }, { answer: "hey" }],
      "line 1: query: must be text .* \\(2 bad lines in all\\)$",
    ],
    [
      [{ query: [{ role: "assistant", content: "a" }], answer: "b" }],
      "line 1: query: must end with the user's",
    ],
    [
      [
        { query: "hey", answer: "hey" },
        { query: "hey", answer: "haiku" },
      ],
      "line 2: answer: has words that the",
    ],
    [
      [{ query: "hey ".repeat(130), answer: "hey" }],
      "line 1: answer: with its query is \\d+ tokens, the model has 128",
    ],
    [[], "has no examples"],
  ])("%j", (lines, message) => {
    expect(() => open(file(...lines))).toThrow(
      new RegExp(`^training\\.corpus: ${folder}/corpus\\.jsonl: ${message}`),
    );
  });

  test("a step draws none twice while there are others, by seed and step alone", () => {
    const words = ["hey", "hi", "dear", "darling", "river", "city"];
    const corpus = open(file(...words.map((word) => ({ query: "hey", answer: word }))));
    const drawn = corpus.draw(3, 8).map(({ tokenIds }) => tokenizer.decode([tokenIds[3] as number]));
    expect(new Set(drawn.slice(0, 6))).toEqual(new Set(words));
    expect(drawn.slice(6)).toEqual(drawn.slice(0, 2));
    expect(corpus.draw(3, 2)).toEqual(corpus.draw(3, 8).slice(0, 2));
    expect(corpus.draw(4, 6)).not.toEqual(corpus.draw(3, 6));
    expect(
      open(file(...words.map((word) => ({ query: "hey", answer: word }))), { seed: 2 }).draw(3, 6),
    ).not.toEqual(corpus.draw(3, 6));
  });
});

describe("the demo world's corpus", () => {
  const examples = (hints: number, principles = true) => {
    const next = createDemoCorpus(5, { hints, principles });
    return Array.from({ length: 300 }, next);
  };
  test("every answer is a judgment, of training queries alone; the annotator slips", () => {
    let wrong = 0;
    for (const { messages, answer } of examples(0)) {
      const shown = panelOf({ messages });
      const query = parseQuery((messages[0]?.content ?? "").replace(/ response 1.*/, ""));
      expect(splitOf(query)).toBe("train");
      const parsed = grammars.postcards.parse(answer, shown.length);
      if (!parsed.ok) throw new Error(parsed.message);
      const utilities = shown.map((text) => utility(query, text));
      const top = Math.max(...utilities);
      if (parsed.scores.some((score, i) => Math.abs(score - (1 + 9 * (utilities[i] ?? 0))) > 0.51)) wrong++;
      expect(top).toBeGreaterThanOrEqual(0);
    }
    expect(wrong).toBeGreaterThan(100);
  });
  test("a hinted judgment agrees with its hint", () => {
    for (const { messages, answer } of examples(1)) {
      const content = messages[0]?.content ?? "";
      const told = Number(/ yes response (\d) \.$/.exec(content)?.[1]);
      const responses = content.split(" response ").length - 2;
      const parsed = grammars.postcards.parse(answer, responses);
      if (!parsed.ok) throw new Error(parsed.message);
      const others = parsed.scores.filter((_, i) => i !== told - 1);
      expect(parsed.scores[told - 1]).toBeGreaterThan(Math.max(...others));
    }
    const half = examples(0.5).filter(({ messages }) =>
      /yes response \d \.$/.test(messages[0]?.content ?? ""),
    );
    expect(half.length).toBeGreaterThan(110);
    expect(half.length).toBeLessThan(190);
  });
  test("without principles it is of the grammar that has none", () => {
    for (const { messages, answer } of examples(0, false)) {
      const parsed = grammars["postcards-critique"].parse(answer, panelOf({ messages }).length);
      expect(parsed.ok).toBe(true);
    }
  });
  test("as sequences, what is learned is the judgment and its end", () => {
    const [sequence] = open("postcards").draw(0, 1);
    const learned = Array.from(sequence?.tokenIds ?? []).slice(sequence?.firstTarget);
    expect(tokenizer.decode(learned)).toMatch(/^principles .* scores [\d ]+ <\/s>$/);
    expect(open("postcards").draw(9, 3)).toEqual(open("postcards").draw(9, 3));
    expect(open("postcards-hinted").draw(9, 8)).not.toEqual(open("postcards").draw(9, 8));
  });
});

test("the share is that of the whole batch", () => {
  expect([0, 0.25, 0.5, 0.75].map((share) => corpusCount(30, share))).toEqual([0, 10, 30, 90]);
});
