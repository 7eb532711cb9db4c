import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GenerateRequest } from "../../lib/engine/engine.js";
import { createSimulatedEngine, type SimulatedEngine } from "../../lib/engine/simulated.js";
import { boxedJudgment } from "../../lib/engine/simulated-judge.js";
import { createSimulatedScalarEngine } from "../../lib/engine/simulated-scalar.js";
import { grammars } from "../../lib/grm/grammar.js";
import { NullReason } from "../../lib/wire/gen/covote/v1/common.js";
import { startNats, type TestNats } from "../support/nats.js";
import { failure, judgmentOf, reasons, score, values } from "../support/reward-calls.js";
import { openRewardCluster, scoreRequest, votingEngine } from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

function referenceOf(prompt: string): string | null {
  return /\[Begin of Reference Answer\]\n([\s\S]*?)\n\[End of Reference Answer\]/.exec(prompt)?.[1] ?? null;
}

/** A judge who gives 10 to what agrees with the reference in its prompt, and 1 to all else. */
function comparingEngine(prompts: string[]): SimulatedEngine {
  const write = (request: GenerateRequest): string => {
    const prompt = request.messages[0]?.content ?? "";
    prompts.push(prompt);
    const reference = referenceOf(prompt);
    const shown = [...prompt.matchAll(/\[Begin of Response \d+\]\n(.*)\n/g)].map((match) => match[1] ?? "");
    return boxedJudgment({
      panelOf: () => shown,
      quality: (response) => (response === reference ? 1 : 0),
    })(request);
  };
  return createSimulatedEngine({ respond: write, version: { number: 1, version: "grm-1" } });
}

describe("a request with a reference answer", () => {
  const grammar = grammars["deepseek-grm"];
  const texts = ["five", "four", "six"];

  test("every vote and every meta score is given with it in sight, and the record tells it", async () => {
    const prompts: string[] = [];
    const rated: string[] = [];
    const meta = createSimulatedScalarEngine({
      logit: (conversation) => rated.push(conversation[0]?.content ?? ""),
      version: { number: 1, version: "meta-1" },
    });
    await using cluster = await openRewardCluster({
      nats,
      grammar,
      engines: [comparingEngine(prompts)],
      meta,
    });
    const request = scoreRequest({ texts, reference: "four", options: { votes: 4, metaKeep: 2 } });
    const answer = await score(cluster, request);
    expect(values(answer)).toEqual([1, 10, 1]);
    expect(prompts.map(referenceOf)).toEqual(["four", "four", "four", "four"]);
    expect(rated.map(referenceOf)).toEqual(["four", "four", "four", "four"]);
    const judgment = await judgmentOf(cluster, answer.judgmentId);
    expect(judgment.reference).toBe("four");
    expect(judgment.metaVersion).toBe("meta-1");
  });

  test("under one id another reference is another question; the same one is the same", async () => {
    const prompts: string[] = [];
    await using cluster = await openRewardCluster({ nats, grammar, engines: [comparingEngine(prompts)] });
    const asked = { requestId: "known", texts, options: { votes: 2 } };
    const first = await score(cluster, scoreRequest({ ...asked, reference: "four" }));
    expect(prompts).toHaveLength(2);
    expect(await score(cluster, scoreRequest({ ...asked, reference: "four" }))).toEqual(first);
    for (const other of [{ reference: "six" }, {}]) {
      expect(await failure(score(cluster, scoreRequest({ ...asked, ...other })))).toMatchObject({
        code: "already_exists",
        field: "request_id",
      });
    }
  });

  test("without one the prompt speaks of none, and neither does the record", async () => {
    const prompts: string[] = [];
    await using cluster = await openRewardCluster({ nats, grammar, engines: [comparingEngine(prompts)] });
    const answer = await score(cluster, scoreRequest({ texts }));
    expect(values(answer)).toEqual([1, 1, 1]);
    expect(prompts.some((prompt) => /reference/i.test(prompt))).toBe(false);
    expect((await judgmentOf(cluster, answer.judgmentId)).reference).toBeUndefined();
  });

  test("a blank one is refused before anything is asked", async () => {
    const prompts: string[] = [];
    await using cluster = await openRewardCluster({ nats, grammar, engines: [comparingEngine(prompts)] });
    expect(await failure(score(cluster, scoreRequest({ texts, reference: " " })))).toMatchObject({
      code: "invalid_argument",
      field: "reference",
      message: "reference: is blank; give text or leave it out",
    });
    expect(prompts).toEqual([]);
  });
});

test("a judge whose grammar has no place for a reference refuses, and says why", async () => {
  const engine = votingEngine();
  await using cluster = await openRewardCluster({ nats, engines: [engine] });
  const answer = await score(cluster, scoreRequest({ reference: "good 9" }));
  expect(values(answer)).toEqual([undefined, undefined, undefined]);
  expect(reasons(answer)).toEqual(Array(3).fill(NullReason.REFUSED));
  expect(answer.partial).toBe(false);
  const { votes, reference } = await judgmentOf(cluster, answer.judgmentId);
  expect(reference).toBe("good 9");
  expect(new Set(votes.map((vote) => vote.failure))).toEqual(
    new Set(["reference: the postcards grammar has no place for a reference answer; leave it out"]),
  );
  expect(engine.stats().ended.done).toBe(0);
});
