import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GenerateRequest } from "../../lib/engine/engine.js";
import { createSimulatedEngine, type SimulatedEngine } from "../../lib/engine/simulated.js";
import { createSimulatedScalarEngine } from "../../lib/engine/simulated-scalar.js";
import { grammars } from "../../lib/grm/grammar.js";
import { NullReason } from "../../lib/wire/gen/covote/v1/common.js";
import { type Reward, type ScoreRequest, StepForm } from "../../lib/wire/gen/covote/v1/reward.js";
import { startNats, type TestNats } from "../support/nats.js";
import { failure, judgmentOf, score, values } from "../support/reward-calls.js";
import { openRewardCluster, scoreRequest, votingEngine } from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

const stepped = (...texts: string[]): ScoreRequest["responses"][number] => ({ text: "", steps: { texts } });
const text = (response: string): ScoreRequest["responses"][number] => ({ text: response });
const stepValues = (reward: Reward | undefined): (number | undefined)[] | undefined =>
  reward?.steps?.rewards.map(({ value }) => value);

/** A prose judge that gives the digit in each step and response, and the mean of its steps to a whole of steps. */
function proseJudge(
  prompts: string[],
  spoil: (scores: number[]) => number[] = (scores) => scores,
): SimulatedEngine {
  const respond = (request: GenerateRequest): string => {
    const prompt = request.messages[0]?.content ?? "";
    prompts.push(prompt);
    const blocks = [...prompt.matchAll(/\[Begin of Response (\d+)\]\n([\s\S]*?)\n\[End of Response \1\]/g)];
    const scores = blocks.flatMap(([, , content = ""]) => {
      const steps = [...content.matchAll(/\[Begin of Step \d+\]\n(.*)\n/g)].map((m) => digitOf(m[1] ?? ""));
      if (steps.length === 0) return [digitOf(content)];
      return [...steps, Math.round(steps.reduce((a, b) => a + b) / steps.length)];
    });
    return `Analysis: fine\nScores: \\boxed{${spoil(scores).join(", ")}}`;
  };
  return createSimulatedEngine({ respond, version: { number: 1, version: "grm-1" } });
}
const digitOf = (content: string): number => Number(/\d/.exec(content)?.[0] ?? 1);

describe("a judge whose grammar scores steps", () => {
  const grammar = grammars["deepseek-grm"];

  test("rewards each step beside the whole response, with responses of text in the same group", async () => {
    const prompts: string[] = [];
    const rated: string[] = [];
    const meta = createSimulatedScalarEngine({
      logit: (conversation) => rated.push(conversation[0]?.content ?? ""),
      version: { number: 1, version: "meta-1" },
    });
    await using cluster = await openRewardCluster({ nats, grammar, engines: [proseJudge(prompts)], meta });
    const request = {
      ...scoreRequest({ options: { votes: 4, metaKeep: 2 } }),
      responses: [stepped("is 9", "is 2", "is 4"), text("a 7")],
    };
    const answer = await score(cluster, request);
    expect(values(answer)).toEqual([5, 7]);
    expect(answer.rewards.map(stepValues)).toEqual([[9, 2, 4], undefined]);
    expect(answer.rewards[0]?.steps?.rewards[0]).toMatchObject({
      votesKept: 2,
      votesUsable: 4,
      agreement: 1,
    });
    expect(answer.stepForm).toBe(StepForm.STEP);
    expect(prompts).toHaveLength(4);
    expect(rated.every((material) => material.includes("[Begin of Step 3]\nis 4\n"))).toBe(true);
    const judgment = await judgmentOf(cluster, answer.judgmentId);
    expect(judgment.responses[0]?.steps?.texts).toEqual(["is 9", "is 2", "is 4"]);
    for (const { order, steps, scores } of judgment.votes) {
      const byPlace = new Map(order.map((of, i) => [`${of}.${steps[i]}`, scores[i]]));
      expect(Object.fromEntries(byPlace)).toEqual({ "0.1": 9, "0.2": 2, "0.3": 4, "0.0": 5, "1.0": 7 });
    }
  });

  test("a vote with too few scores is unparsable: whole and steps are null with that reason", async () => {
    const judge = proseJudge([], (scores) => scores.slice(1));
    await using cluster = await openRewardCluster({ nats, grammar, engines: [judge] });
    const answer = await score(cluster, { ...scoreRequest(), responses: [stepped("is 9", "is 2")] });
    const all = [answer.rewards[0], ...(answer.rewards[0]?.steps?.rewards ?? [])];
    expect(all.map((reward) => [reward?.value, reward?.nullReason])).toEqual(
      Array(3).fill([undefined, NullReason.UNPARSABLE]),
    );
  });

  test("a response with more steps than the model has room for is refused, the others are judged", async () => {
    const small = { ...proseJudge([]), maxPositions: 4000 };
    await using cluster = await openRewardCluster({ nats, grammar, engines: [small] });
    const many = Array.from({ length: 20 }, (_, i) => `is ${i}`);
    const answer = await score(cluster, { ...scoreRequest(), responses: [stepped(...many), text("a 7")] });
    expect(answer.rewards.map(({ value, nullReason }) => [value, nullReason])).toEqual([
      [undefined, NullReason.REFUSED],
      [7, NullReason.UNSPECIFIED],
    ]);
    expect(new Set(answer.rewards[0]?.steps?.rewards.map(({ nullReason }) => nullReason))).toEqual(
      new Set([NullReason.REFUSED]),
    );
  });
});

describe("a judge whose grammar has no place for steps", () => {
  test("judges the response up to each step, and the last of these is the whole", async () => {
    const engine = votingEngine();
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    // The simulated judge gives the first digit of a text, plus one.
    const responses = [stepped("so", "good 4"), text("good 8")];
    const answer = await score(cluster, { ...scoreRequest({ options: { votes: 2 } }), responses });
    expect(values(answer)).toEqual([5, 9]);
    expect(answer.rewards.map(stepValues)).toEqual([[1, 5], undefined]);
    expect(answer.stepForm).toBe(StepForm.PREFIX);
    const { votes } = await judgmentOf(cluster, answer.judgmentId);
    expect(votes.map(({ order, steps }) => order.map((of, i) => `${of}.${steps[i]}`).sort())).toEqual(
      Array(2).fill(["0.0", "0.1", "1.0"]),
    );
  });

  test("more steps than a panel holds are judged in several", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const steps = ["so", "good 2", "and", "fine", "then", "bye"];
    const answer = await score(cluster, { ...scoreRequest(), responses: [stepped(...steps)] });
    expect(answer.rewards.map(stepValues)).toEqual([[1, 3, 3, 3, 3, 3]]);
    expect(values(answer)).toEqual([3]);
  });
});

describe("requests with steps", () => {
  test.each([
    [[{ text: "a", steps: { texts: ["a"] } }], "responses[0]: has text and steps; give one or the other"],
    [[text("b"), stepped()], "responses[1].steps: is empty; give at least one step, or the response as text"],
    [[stepped("a", " ")], "responses[0].steps[1]: is blank; leave it out"],
    [
      [stepped(...Array.from({ length: 256 }, () => "a"))],
      "responses: at most 256 responses and steps in one request, got 257",
    ],
  ])("that cannot be judged are refused before anything is asked (%#)", async (responses, message) => {
    const engine = votingEngine();
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    expect(await failure(score(cluster, { ...scoreRequest(), responses }))).toMatchObject({
      code: "invalid_argument",
      message,
    });
    expect(engine.stats().ended.done).toBe(0);
  });

  test("the same text in other steps is another question under one id", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const asked = { ...scoreRequest({ requestId: "steps-1" }), responses: [stepped("good 1", "good 2")] };
    const first = await score(cluster, asked);
    expect(await score(cluster, asked)).toEqual(first);
    const others = [stepped("good 1 good 2"), text("good 1\n\ngood 2")];
    for (const other of others) {
      expect(await failure(score(cluster, { ...asked, responses: [other] }))).toMatchObject({
        code: "already_exists",
      });
    }
  });
});
