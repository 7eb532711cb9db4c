import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { invalid } from "../../lib/core/errors.js";
import { type Grammar, grammars } from "../../lib/grm/grammar.js";
import {
  type JudgmentPromptOptions,
  openJudgmentPrompts,
} from "../../services/grpo-learner/judgment-prompts.js";
import type { PromptSource, RunPrompt } from "../../services/grpo-learner/prompt-source.js";
import { panelOf } from "../support/reward-cluster.js";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "covote-preferences-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const file = (...lines: unknown[]): string => {
  const path = join(dir, "prefs.jsonl");
  writeFileSync(
    path,
    lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"),
  );
  return path;
};
const open = (prompts: string, over: Partial<JudgmentPromptOptions> = {}): PromptSource =>
  openJudgmentPrompts({
    ...{ prompts, seed: 1, grammar: grammars.postcards, panelLimit: 4, hinted: false },
    ...over,
  });
const first = (source: PromptSource, count: number): RunPrompt[] =>
  Array.from({ length: count }, (_, i) => source.prompt(i));
/** The response that the label names as the best one, as the panel shows it. */
const bestOf = ({ messages, label }: RunPrompt): string | undefined => {
  const shown = panelOf({ messages });
  expect(label?.responses).toBe(shown.length);
  return label?.kind?.$case === "best" ? shown[label.kind.value] : undefined;
};

describe("the demo world's panels", () => {
  test("depend on seed and index alone, so that a restart asks the same again", () => {
    const asked = first(open("postcards"), 12);
    const again = open("postcards");
    expect([9, 3, 0].map((i) => again.prompt(i))).toEqual([9, 3, 0].map((i) => asked[i]));
    expect(first(open("postcards", { seed: 2 }), 12)).not.toEqual(asked);
    expect(new Set(asked.map(({ messages }) => messages[0]?.content)).size).toBeGreaterThan(10);
  });
  test("each name a best response that they show", () => {
    for (const prompt of first(open("postcards"), 50)) expect(bestOf(prompt)).toMatch(/\w/);
  });
  test("fit a panel limit below their length", () => {
    for (const prompt of first(open("postcards", { panelLimit: 2 }), 50)) {
      expect(prompt.label?.responses).toBe(2);
      expect(bestOf(prompt)).toBeDefined();
    }
  });
});

describe("panels of a file", () => {
  test("come in an order that the seed decides, and the label follows the order", () => {
    const source = open(file({ query: "query", responses: ["alpha", "beta", "gamma"], best: 1 }));
    const prompts = first(source, 40);
    for (const prompt of prompts) expect(bestOf(prompt)).toBe("beta");
    expect(new Set(prompts.map(({ messages }) => panelOf({ messages }).join())).size).toBe(6);
  });

  test("show each item once a round", () => {
    const path = file(...["a", "b", "c"].map((query) => ({ query, responses: ["x", "y"], best: 0 })));
    const source = open(path);
    const round = (n: number) =>
      [0, 1, 2].map((i) => source.prompt(3 * n + i).messages[0]?.content.split(" ")[0]);
    for (let n = 0; n < 5; n++) expect(round(n).toSorted()).toEqual(["a", "b", "c"]);
    expect(new Set([0, 1, 2, 3, 4, 5, 6, 7].map((n) => round(n).join(""))).size).toBeGreaterThan(1);
  });

  test("of long lists keep the best within the limit, and draw the others", () => {
    const responses = ["a", "b", "c", "d", "e", "f"];
    const prompts = first(open(file({ query: "query", responses, best: 4 }), { panelLimit: 3 }), 60);
    for (const prompt of prompts) {
      expect(prompt.label?.responses).toBe(3);
      expect(bestOf(prompt)).toBe("e");
    }
    expect(new Set(prompts.flatMap(({ messages }) => panelOf({ messages })))).toEqual(new Set(responses));
    // And the best one at every place.
    expect(new Set(prompts.map(({ label }) => label?.kind?.value))).toEqual(new Set([0, 1, 2]));
  });

  test("of a single response carry the score that is right", () => {
    const [prompt] = first(open(file({ query: "query", responses: ["a"], scores: [7] })), 1);
    expect(prompt?.label).toEqual({ responses: 1, kind: { $case: "score", value: 7 } });
  });

  test("show a reference where the grammar has a place for one", () => {
    const path = file({ query: "What?", responses: ["a", "b"], best: 0, reference: "forty-two" });
    const [prompt] = first(open(path, { grammar: grammars["deepseek-grm"] }), 1);
    expect(prompt?.messages.at(-1)?.content).toContain("forty-two");
  });

  test("hinted come twice: as they are, and with the best response named in the same order", () => {
    const path = file(
      { query: "query", responses: ["alpha", "beta", "gamma"], best: 2 },
      { query: "query two", responses: ["delta", "alpha"], best: 0 },
    );
    const plain = first(open(path), 6);
    const both = first(open(path, { hinted: true }), 12);
    both.forEach((prompt, i) => {
      const unhinted = plain[Math.floor(i / 2)];
      expect(prompt.label).toEqual(unhinted?.label);
      const text = unhinted?.messages[0]?.content;
      const position = 1 + (prompt.label?.kind?.value ?? Number.NaN);
      const hint = i % 2 === 1;
      expect(prompt.hinted).toBe(hint);
      expect(prompt.messages[0]?.content).toBe(hint ? `${text} yes response ${position} .` : text);
    });
  });
});

describe("bad data sets are found when they are opened", () => {
  const fine = { query: "query", responses: ["a", "b"], best: 0 };
  const single = { query: "query", responses: ["a"], scores: [0] };
  test.each<[string, unknown[], Partial<JudgmentPromptOptions>, RegExp]>([
    ["no JSON", [fine, "nonsense"], {}, /line 2: /],
    ["a missing field", [fine, "", { query: "query", best: 0 }], {}, /line 3: responses: /],
    ["no label", [{ query: "query", responses: ["a", "b"] }], {}, /line 1: best: is missing/],
    [
      "no item with one best response",
      [{ ...fine, best: undefined, scores: [5, 5] }],
      {},
      /scores: its one line ties/,
    ],
    ["nothing", [""], {}, /has no items/],
    [
      "a reference that the grammar has no place for",
      [fine, { ...fine, reference: "r" }, fine, { ...fine, reference: "s" }],
      {},
      /line 2: reference: the postcards grammar has no place for .* \(2 bad lines in all\)$/,
    ],
    [
      "a conversation that the grammar has no place for",
      [
        {
          ...fine,
          query: ["user", "assistant", "user"].map((role) => ({ role, content: "hey" })),
        },
      ],
      {},
      /line 1: query: the postcards grammar takes exactly one user turn, got 3 turns$/,
    ],
    ["panels of one", [fine], { panelLimit: 1 }, /line 1: best: cannot be picked from panels of one/],
    [
      "a list for a grammar of single responses",
      [single, fine],
      { grammar: grammars["deepseek-grm-single"] },
      /line 2: best: cannot be picked from panels of one/,
    ],
    [
      "a single response's score that no judgment can give",
      [fine, single],
      {},
      /line 2: scores\[0\]: is 0, and judgments in the grammar postcards give 1 to 10: none can be right$/,
    ],
  ])("%s", (_, lines, over, message) => {
    const path = file(...lines);
    expect(() => open(path, over)).toThrow(message);
    expect(() => open(path, over)).toThrow(`training.prompts: ${path}: `);
    expect(() => open(path, over)).toThrow(
      expect.objectContaining({ code: "invalid_argument", field: "training.prompts" }),
    );
  });

  test("panels that the model has no room for: of a long list the longest responses are looked at", () => {
    const asked: string[] = [];
    const room = (messages: readonly { content: string }[]): void => {
      const shown = panelOf({ messages });
      asked.push(shown.toSorted().join());
      if (shown.join("").length > 12) throw invalid("responses", "too long");
    };
    const path = file(
      { query: "query", responses: ["best", "aa", "bbbb", "c"], best: 0 },
      { query: "query", responses: ["eeee", "best", "aaaaaaa", "c"], best: 1 },
    );
    expect(() => open(path, { room, panelLimit: 3 })).toThrow(/line 2: responses: too long$/);
    expect(asked).toEqual(["aa,bbbb,best", "aaaaaaa,best,eeee"]);
  });

  test("a file that is not there", () => {
    expect(() => open(join(dir, "none.jsonl"))).toThrow(/^training\.prompts: cannot read .*ENOENT/);
  });

  test("each item is shown once for the check, however long the file", () => {
    let shown = 0;
    const counting: Grammar = {
      ...grammars.postcards,
      prompt: (input) => {
        shown++;
        return grammars.postcards.prompt(input);
      },
    };
    open(file(...Array(20).fill(fine)), { grammar: counting });
    expect(shown).toBe(20);
  });
});
