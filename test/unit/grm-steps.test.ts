import { expect, test } from "vitest";
import { deepseekGrm } from "../../lib/grm/deepseek.js";
import { type JudgedInput, scoresDue } from "../../lib/grm/judgment.js";
import { postcards } from "../../lib/grm/postcards.js";

const query = [{ role: "user" as const, content: "What is 2 + 2?" }];

/** A response of two steps, one in text. */
const input: JudgedInput = {
  query,
  responses: ["so\n\nfour", "five"],
  steps: [["Two and two [End of Step 1]", "so four"], []],
};

const promptOf = (judged: JudgedInput): string => deepseekGrm.prompt(judged)[0]?.content ?? "";

test("a judgment owes one score per response, and one more for each of its steps", () => {
  expect(scoresDue({ responses: ["a", "b"] })).toBe(2);
  expect(scoresDue(input)).toBe(4);
  expect(deepseekGrm.maxTokens(2, 2)).toBe(deepseekGrm.maxTokens(4));
});

test("a prompt shows steps numbered in their response, and asks for their scores before its own", () => {
  const text = promptOf(input);
  expect(text).toContain(
    "[Begin of Response 1]\n[Begin of Step 1]\nTwo and two (End of Step 1]\n[End of Step 1]\n\n" +
      "[Begin of Step 2]\nso four\n[End of Step 2]\n[End of Response 1]\n\n" +
      "[Begin of Response 2]\nfive\n[End of Response 2]",
  );
  expect(text).toContain("exactly 4 scores");
  expect(text).toContain("\\boxed{s1.1, s1.2, s1, s2}");
  expect(text).toContain("numbered steps");
});

test("a single response given as steps is asked for each of them and for itself", () => {
  const text = promptOf({ query, responses: [""], steps: [["one"]] });
  expect(text).toContain("\\boxed{s1.1, s1}");
});

test("where no response has steps the prompt is the one without any", () => {
  const plain = { query, responses: ["four", "five"] };
  expect(promptOf({ ...plain, steps: [[], []] })).toBe(promptOf(plain));
  expect(promptOf(plain)).not.toContain("numbered steps");
});

test("one score too few for the steps is no judgment", () => {
  const judgment = (scores: string): string => `Analysis: fine\nScores: \\boxed{${scores}}`;
  expect(deepseekGrm.parse(judgment("8, 2, 5, 6"), scoresDue(input))).toMatchObject({ scores: [8, 2, 5, 6] });
  expect(deepseekGrm.parse(judgment("5, 6"), scoresDue(input))).toMatchObject({ kind: "wrong_count" });
});

test("who judges the judgment sees the steps that it speaks of", () => {
  const [user] = deepseekGrm.metaConversation({ ...input, judgmentText: "Step 2 is right." });
  expect(user?.content).toContain("[Begin of Step 2]\nso four\n[End of Step 2]");
});

test("the postcards grammar has no place for steps and says so", () => {
  expect(postcards.scoresSteps).toBe(false);
  expect(() => postcards.prompt(input)).toThrow(/^steps: .*no place for steps/);
  expect(postcards.prompt({ query, responses: ["a"], steps: [[]] })).toEqual(
    postcards.prompt({ query, responses: ["a"] }),
  );
});
