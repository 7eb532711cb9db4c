import { expect, test } from "vitest";
import type { Generation, GenerativeEngine } from "../../lib/engine/engine.js";
import { type Grammar, grammars } from "../../lib/grm/grammar.js";
import { NullReason } from "../../lib/wire/gen/covote/v1/common.js";
import type { Vote } from "../../lib/wire/gen/covote/v1/judging.js";
import { ballotPrompt, castVote, type Voter } from "../../services/grm-worker/vote.js";

const messages = [{ role: "user" as const, content: "Which is it?" }];
const ballot = {
  ballotId: "j:0:0",
  judgmentId: "j",
  replySubject: "votes",
  query: { messages },
  responses: ["this", "that"],
  tickets: [{ voteId: "j:0:0:0", seed: 1 }],
  temperature: 1,
  deadlineAtMs: 0,
  judgeVersion: "",
  traceparent: "",
};

/** A worker whose engine says this. */
function voterOf(grammar: Grammar, text = "", finish: Generation["finish"] = "stop"): Voter {
  const tokens = {
    promptIds: new Uint32Array(3),
    tokenIds: new Uint32Array(2),
    logprobs: new Float32Array(2),
    promptTokens: 3,
    completionTokens: 2,
  };
  const engine: GenerativeEngine = {
    generate: () =>
      Promise.resolve({ text, finish, ...tokens, cachedTokens: 0, version: "grm-1", engineMs: 1 }),
    load: () => Promise.resolve(),
    version: () => ({ number: 1, version: "grm-1" }),
    stats: () => ({ running: 0, waiting: 0, slots: 1, generatedTokens: 0, promptTokens: 0, busyMs: 0 }),
    slots: 1,
    maxPositions: 10_000,
    countTokens: () => 3,
    close: () => Promise.resolve(),
  };
  return { engine, grammar, worker: "w", maxTokens: null, nextRequest: () => 1 };
}

async function voteOn(text: string, finish: Generation["finish"], grammar: Grammar): Promise<Vote> {
  const voter = voterOf(grammar, text, finish);
  const prompt = await ballotPrompt(voter, ballot, messages);
  return castVote(voter, ballot, prompt, { voteId: "j:0:0:0", seed: 1 }, new AbortController().signal);
}

test("a judgment that ended by itself is a vote with its scores", async () => {
  const text = "Specific Criteria: truth\nAnalysis: both fine\nScores: \\boxed{8, 9}";
  expect(await voteOn(text, "stop", grammars["deepseek-grm"])).toMatchObject({
    scores: [8, 9],
    nullReason: NullReason.UNSPECIFIED,
    principles: "truth",
    critique: "both fine",
    judgeVersion: "grm-1+deepseek-grm@deepseek-grm-1",
  });
});

test.each([
  ["marks per criterion", "Analysis: clarity \\boxed{3, 4}, depth"],
  ["a draft in reasoning whose beginning the chat template wrote", "Perhaps \\boxed{3, 4}? Let me see"],
])("a judgment that was cut is unparsable, whatever it holds: %s", async (_what, text) => {
  const vote = await voteOn(text, "length", grammars["deepseek-grm"]);
  expect(vote).toMatchObject({ scores: [], nullReason: NullReason.UNPARSABLE });
  expect(vote.failure).toMatch(/^truncated: .* cut at its token limit$/);
});

test("what was wrong with a judgment that cannot be parsed is told in words", async () => {
  const vote = await voteOn("Scores: \\boxed{8}", "stop", grammars["deepseek-grm"]);
  expect(vote).toMatchObject({ scores: [], nullReason: NullReason.UNPARSABLE });
  expect(vote.failure).toBe("wrong_count: 1 scores in the box for 2 responses");
});

test("a ballot's reference answer is in the prompt of its votes", async () => {
  const voter = voterOf(grammars["deepseek-grm"]);
  const askedOf = async (of: typeof ballot & { reference?: string }): Promise<string> =>
    (await ballotPrompt(voter, of, messages)).messages[0]?.content ?? "";
  const asked = await askedOf({ ...ballot, reference: "the third" });
  expect(asked).toContain("[Begin of Reference Answer]\nthe third\n[End of Reference Answer]");
  const plain = await askedOf(ballot);
  expect(plain).not.toContain("Reference Answer");
});
