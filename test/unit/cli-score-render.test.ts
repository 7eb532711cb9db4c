import { describe, expect, test } from "vitest";
import { textStyle, visibleLength } from "../../cli/run/text.js";
import type { Scored } from "../../cli/score/ask.js";
import { renderScored, scoredForMachines } from "../../cli/score/render.js";
import { NullReason, PrinciplesSource } from "../../lib/wire/gen/covote/v1/common.js";
import { Judgment, type Reward, StepForm, type VoteRecord } from "../../lib/wire/gen/covote/v1/reward.js";

const noCost = { votes: 1, promptTokens: 10, cachedTokens: 0, completionTokens: 5, engineMs: 2 };

function reward(value: number | undefined, more: Partial<Reward> = {}): Reward {
  return {
    value,
    nullReason: value === undefined ? NullReason.UNPARSABLE : NullReason.UNSPECIFIED,
    sum: (value ?? 0) * 2,
    votesKept: value === undefined ? 0 : 2,
    votesUsable: value === undefined ? 0 : 3,
    spread: 0.5,
    agreement: 1,
    ...more,
  };
}

function vote(id: string, more: Partial<VoteRecord> = {}): VoteRecord {
  return {
    voteId: id,
    order: [0, 1],
    principles: "question 3",
    critique: "question yes no",
    scores: [9, 2],
    nullReason: NullReason.UNSPECIFIED,
    failure: "",
    metaScore: 1,
    text: "",
    kept: true,
    judgeVersion: "v",
    worker: "w",
    cost: noCost,
    steps: [],
    principlesSource: PrinciplesSource.UNSPECIFIED,
    principlesKey: "",
    ...more,
  };
}

function scored(rewards: Reward[], votes: VoteRecord[], responses = ["good card", "bad card"]): Scored {
  const outcome = {
    judgmentId: "j1",
    rewards,
    partial: false,
    judgeVersion: "grm+postcards@1",
    cost: { ...noCost, votes: votes.length },
    latencyMs: 12.3,
    stepForm: StepForm.UNSPECIFIED,
  };
  const query = [{ role: "user" as const, content: "query to aunt" }];
  return {
    task: { id: null, query, responses },
    outcome,
    judgment: Judgment.fromPartial({ judgmentId: "j1", votes, metaKeep: 2, metaVersion: "meta-1" }),
  };
}

const plain = textStyle(false);
const shown = (answer: Scored, columns = 100): string => renderScored(answer, columns, plain).join("\n");

describe("score, for people", () => {
  test("each response with reward, spread, agreement and kept votes, each vote with its scores in place", () => {
    const text = shown(
      scored(
        [reward(8.5), reward(2)],
        [vote("a"), vote("b", { order: [1, 0], scores: [2, 8], metaScore: 0 })],
      ),
    );
    expect(text).toMatch(/^ {4}1 {2}8\.50 ± 0\.50 +1\.00 {3}2 of 3 {2}good card$/m);
    expect(text).toMatch(/^ {4}2 {2}2\.00 ± 0\.50 +1\.00 {3}2 of 3 {2}bad card$/m);
    expect(text).toMatch(/^ {2}kept {6}0\.73 {4}9 {2}2 +question 3$/m);
    // The second vote saw the responses the other way round.
    expect(text).toMatch(/^ {2}kept {6}0\.50 {4}8 {2}2 /m);
    expect(text).toContain("2 votes in 12 ms by grm+postcards@1. Judgment j1.");
  });

  test("a reference answer stands below the query, where one was given", () => {
    const answer = scored([reward(8), reward(2)], [vote("a")]);
    expect(shown(answer)).not.toContain("reference");
    const text = shown({ ...answer, task: { ...answer.task, reference: "the right\ncard" } });
    expect(text).toMatch(/^ {2}query {2}query to aunt\n {2}reference {2}the right card$/m);
  });

  test("a null reward is shown with its reason and what the votes failed of", () => {
    const failed = { scores: [], nullReason: NullReason.UNPARSABLE, kept: false };
    const failure = "wrong_count: 1 scores for 2 responses";
    const text = shown(scored([reward(undefined), reward(2)], [vote("a", { ...failed, failure })]));
    expect(text).toMatch(/^ {4}1 {2}null /m);
    expect(text).toContain(`unparsable: ${failure}`);
    expect(text).toMatch(/^ {2}failed {4}/m);
  });

  test("kept votes come first, then those left out, then those that failed", () => {
    const text = shown(
      scored(
        [reward(8), reward(2)],
        [
          vote("f", {
            scores: [],
            kept: false,
            nullReason: NullReason.UNPARSABLE,
            failure: "empty: nothing",
          }),
          vote("o", { kept: false, metaScore: -1 }),
          vote("k"),
        ],
      ),
    );
    const states = [...text.matchAll(/^ {2}(kept|left out|failed)/gm)].map((match) => match[1]);
    expect(states).toEqual(["kept", "left out", "failed"]);
  });

  test("a meta reward model that did not answer is no secret", () => {
    const answer = scored([reward(8), reward(2)], [vote("a", { metaScore: undefined })]);
    expect(shown(answer)).not.toContain("plain voting");
    const judgment = Judgment.fromPartial({ ...answer.judgment, metaVersion: "" });
    expect(shown({ ...answer, judgment }, 200)).toContain(
      "The meta reward model did not answer: plain voting.",
    );
    // It is not asked about votes without scores.
    const failed = judgment.votes.map((vote) => ({ ...vote, scores: [] }));
    expect(shown({ ...answer, judgment: { ...judgment, votes: failed } }, 200)).not.toContain(
      "did not answer",
    );
  });

  test("rewards whose votes could not be fetched are shown, and the lack is said", () => {
    const answer = { ...scored([reward(8.5), reward(undefined)], []), judgment: null };
    const text = shown(answer);
    expect(text).toMatch(/^ {4}1 {2}8\.50 ± 0\.50 /m);
    expect(text).toContain("the service could not be asked about the votes");
    expect(scoredForMachines(answer)).toMatchObject({ rewards: [{ value: 8.5 }, {}], votes: null });
  });

  test("a partial answer says so", () => {
    const answer = scored([reward(8)], [vote("a", { order: [0], scores: [8] })], ["x"]);
    answer.outcome.partial = true;
    expect(shown(answer)).toContain("Cut short by the deadline");
  });

  test("long texts are shortened to the width; control characters never reach the terminal", () => {
    const long = `${"word ".repeat(300)}\u001b[2J\u0007`;
    const text = shown(
      scored([reward(8), reward(2)], [vote("a", { critique: long, principles: long })], [long, long]),
      80,
    );
    for (const line of text.split("\n")) expect(visibleLength(line)).toBeLessThan(80);
    expect(text).not.toContain("\u001b");
    expect(text.split("\n").length).toBeLessThan(20);
  });

  test("beyond eight responses scores are written with the numbers of their responses", () => {
    const many = Array.from({ length: 9 }, (_, i) => `r${i}`);
    const text = shown(
      scored(
        many.map(() => reward(5)),
        [vote("a", { order: [8, 2], scores: [4, 6] })],
        many,
      ),
    );
    expect(text).toContain("9:4 3:6");
  });
});

test("score, for machines: null stays null, with its reason; failed votes have no scores", () => {
  const failed = vote("a", {
    scores: [],
    kept: false,
    nullReason: NullReason.UNPARSABLE,
    failure: "empty: nothing",
    text: "hm",
    metaScore: undefined,
  });
  expect(scoredForMachines(scored([reward(undefined), reward(2)], [failed]))).toMatchObject({
    judgment_id: "j1",
    rewards: [
      { value: null, null_reason: "unparsable", votes_usable: 0 },
      { value: 2, null_reason: null, sum: 4, spread: 0.5, agreement: 1, votes_kept: 2 },
    ],
    votes: [
      {
        ...{ scores: null, null_reason: "unparsable", failure: "empty: nothing", text: "hm" },
        ...{ meta_score: null, kept: false },
      },
    ],
  });
});

describe("score, of a response given as steps", () => {
  const answer = (): Scored => {
    const given = scored(
      [{ ...reward(7), steps: { rewards: [reward(9), reward(undefined)] } }, reward(4)],
      [
        vote("a", {
          ...{ order: [0, 0, 0, 1], steps: [1, 2, 0, 0], scores: [9, 3, 7, 4] },
          ...{ principlesSource: PrinciplesSource.REUSED, principlesKey: "5ca1ab1e" },
        }),
      ],
      ["", "a card"],
    );
    return {
      ...given,
      task: { ...given.task, steps: [["first", "second"], null] },
      outcome: { ...given.outcome, stepForm: StepForm.STEP },
    };
  };

  test("each step has its row below the whole, and each vote says which score is whose", () => {
    const text = shown(answer());
    expect(text).toMatch(/^ {4}1 {2}7\.00 .* first second$/m);
    expect(text).toMatch(/^ {2}1\.1 {2}9\.00 .* first$/m);
    expect(text).toMatch(/^ {2}1\.2 {2}null .* second$/m);
    expect(text).toMatch(/^ {4}2 {2}4\.00 .* a card$/m);
    expect(text).toContain("1.1:9 1.2:3 1:7 2:4");
  });

  test("machines are told the rewards of steps and what they are about, and where principles came from", () => {
    const [whole, other] = (scoredForMachines(answer()) as { rewards: object[] }).rewards;
    expect(whole).toMatchObject({
      value: 7,
      steps: [{ value: 9 }, { value: null, null_reason: "unparsable" }],
    });
    expect(other).not.toHaveProperty("steps");
    expect(scoredForMachines(answer())).toMatchObject({
      step_form: "step",
      votes: [{ steps: [1, 2, 0, 0], principles_source: "reused", principles_key: "5ca1ab1e" }],
    });
    expect(scoredForMachines(scored([reward(7)], [vote("a")]))).not.toHaveProperty("step_form");
  });
});
