import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { createSimulatedScalarEngine } from "../../lib/engine/simulated-scalar.js";
import { NullReason } from "../../lib/wire/gen/covote/v1/common.js";
import { startNats, type TestNats } from "../support/nats.js";
import { failure, judgmentOf, reasons, score, values } from "../support/reward-calls.js";
import { heldEngine, openRewardCluster, scoreRequest, votingEngine } from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

describe("answers", () => {
  test("a group gets one reward per response, in the request's order", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine(), votingEngine()] });
    const answer = await score(cluster, scoreRequest({ texts: ["good 2", "good 8", "good 5", "good 0"] }));
    expect(values(answer)).toEqual([3, 9, 6, 1]);
    expect(answer.partial).toBe(false);
    expect(answer.judgeVersion).toBe("grm-1+postcards@postcards-1");
    expect(answer.rewards.every((reward) => reward.votesKept === 4)).toBe(true);
    expect(answer.cost?.votes).toBe(4);
  });

  test("a group larger than the panel limit is split, and every response has its votes", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const texts = Array.from({ length: 10 }, (_, i) => `good ${i}`);
    const answer = await score(cluster, scoreRequest({ texts, options: { panelLimit: 3, votes: 5 } }));
    expect(values(answer)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(answer.rewards.map((reward) => reward.votesKept)).toEqual(texts.map(() => 5));
  });

  test("a panel too long for the model is split; a response that is too long by itself is refused", async () => {
    const engine = votingEngine({ maxPositions: 60 });
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const long = `good 7${" and".repeat(60)}`;
    const answer = await score(cluster, scoreRequest({ texts: ["good 1", "good 2", "good 3", long] }));
    expect(values(answer)).toEqual([2, 3, 4, undefined]);
    expect(reasons(answer)[3]).toBe(NullReason.REFUSED);
    expect(answer.partial).toBe(false);
  });

  test("a panel too large for a message is split; a response that is too large by itself is refused", async () => {
    await using small = await startNats({ maxPayloadBytes: 200 * 1024 });
    await using cluster = await openRewardCluster({ nats: small, engines: [votingEngine()] });
    const padding = " very".repeat(15_000);
    const texts = [`good 2${padding}`, `good 8${padding}`, `good 5${padding}${padding}${padding}`];
    const answer = await score(cluster, scoreRequest({ texts }));
    expect(answer.partial).toBe(false);
    expect(
      values(answer)
        .slice(0, 2)
        .every((value) => value !== undefined),
    ).toBe(true);
    expect(reasons(answer)[2]).toBe(NullReason.REFUSED);
    const judgment = await judgmentOf(cluster, answer.judgmentId);
    expect(judgment.votes.some((vote) => /max_payload/.test(vote.failure))).toBe(true);
  });

  test("votes that cannot be parsed are null with that reason, never a zero", async () => {
    await using cluster = await openRewardCluster({
      nats,
      engines: [votingEngine({ failures: { unparsable: 1 } })],
    });
    const answer = await score(cluster);
    expect(values(answer)).toEqual([undefined, undefined, undefined]);
    expect(new Set(reasons(answer))).toEqual(new Set([NullReason.UNPARSABLE]));
    const { votes } = await judgmentOf(cluster, answer.judgmentId);
    // What the judge did say is part of the explanation.
    expect(votes.every((vote) => vote.text !== "")).toBe(true);
    expect(votes.every((vote) => vote.scores.length === 0 && vote.failure !== "")).toBe(true);
  });

  test("the same seed gives the same rewards, whichever workers vote", async () => {
    const noisy = () => votingEngine({ noise: 2 });
    await using one = await openRewardCluster({ nats, engines: [noisy()] });
    await using three = await openRewardCluster({ nats, engines: [noisy(), noisy(), noisy()] });
    const ask = (id: string, seed: number) =>
      scoreRequest({ requestId: id, texts: ["good 3", "good 4", "good 5", "good 6"], options: { seed } });
    const first = values(await score(one, ask("a", 11)));
    expect(values(await score(three, ask("b", 11)))).toEqual(first);
    expect(values(await score(three, ask("c", 12)))).not.toEqual(first);
  });

  test("GetJudgment tells everything behind a reward", async () => {
    const meta = createSimulatedScalarEngine({
      logit: ([, judgment]) => (judgment?.content.length ?? 0) % 7,
      version: { number: 3, version: "meta-3" },
    });
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()], meta });
    const request = scoreRequest({ requestId: "explained", labels: { run: "r1" }, options: { metaKeep: 2 } });
    const answer = await score(cluster, request);
    const judgment = await judgmentOf(cluster, "explained");
    expect(judgment.outcome).toEqual(answer);
    expect(judgment.query).toEqual(request.query);
    expect(judgment.responses.map((r) => r.text)).toEqual(request.responses.map((r) => r.text));
    expect(judgment.labels).toEqual({ run: "r1" });
    expect(judgment.metaKeep).toBe(2);
    expect(judgment.metaVersion).toBe("meta-3");
    expect(judgment.votes).toHaveLength(4);
    for (const vote of judgment.votes) {
      expect(vote.principles).toBe("topic 3");
      expect(vote.critique).toMatch(/^topic (yes|no)/);
      expect(vote.scores).toHaveLength(3);
      expect(vote.metaScore).toBeTypeOf("number");
      expect(vote.judgeVersion).toBe(answer.judgeVersion);
      expect(vote.worker).toBe("worker-0");
      expect(vote.cost?.completionTokens).toBeGreaterThan(0);
    }
    expect(judgment.votes.filter((vote) => vote.kept)).toHaveLength(2);
  });

  test("without a meta RM the votes are counted plainly, and the record says so", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const answer = await score(cluster, scoreRequest({ options: { metaKeep: 2 } }));
    expect(values(answer)).toEqual([3, 9, 6]);
    expect(answer.rewards.map((reward) => reward.votesKept)).toEqual([4, 4, 4]);
    const judgment = await judgmentOf(cluster, answer.judgmentId);
    expect(judgment.metaKeep).toBe(2);
    expect(judgment.metaVersion).toBe("");
  });

  test("a meta RM that hangs costs its patience, not the judgment", async () => {
    const meta = createSimulatedScalarEngine({ logit: () => 1, failures: { hang: 1 } });
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()], meta });
    const answer = await score(cluster, scoreRequest({ options: { metaKeep: 2, deadlineMs: 1500 } }));
    expect(values(answer)).toEqual([3, 9, 6]);
  });
});

describe("idempotence", () => {
  test("a repeat of a running judgment joins it, a repeat of a finished one gets the same answer", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const request = scoreRequest({ requestId: "twice" });
    const running = [score(cluster, request), score(cluster, request)];
    await engine.waiting(4);
    engine.release();
    const [first, second] = await Promise.all(running);
    expect(second).toEqual(first);
    expect(engine.started).toBe(4);
    const later = await score(cluster, request);
    expect(later).toEqual(first);
  });

  test("once a request came again, those that were judged before ask no judge", async () => {
    const asked: string[] = [];
    const inner = votingEngine({ noise: 2 });
    const engine: GenerativeEngine = {
      ...inner,
      generate: (request, options) => {
        asked.push(request.id);
        return inner.generate(request, options);
      },
    };
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const requests = ["first", "second", "third"].map((requestId) => scoreRequest({ requestId }));
    const answers = await Promise.all(requests.map((request) => score(cluster, request)));
    for (const [i, request] of requests.entries()) expect(await score(cluster, request)).toEqual(answers[i]);
    const askedFor = (name: string): number => asked.filter((id) => id.startsWith(name)).length;
    expect([askedFor("second"), askedFor("third")]).toEqual([4, 4]);
  });

  test("another question under the same id is refused, while it runs and afterwards", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const request = scoreRequest({ requestId: "one" });
    const running = score(cluster, request);
    await engine.waiting(4);
    const other = scoreRequest({ requestId: "one", texts: ["good 1"] });
    expect(await failure(score(cluster, other))).toMatchObject({
      code: "already_exists",
      field: "request_id",
    });
    engine.release();
    await running;
    expect(await failure(score(cluster, other))).toMatchObject({ code: "already_exists" });
  });

  test("a judgment that its client cancelled can be asked for again under the same id", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const request = scoreRequest({ requestId: "again" });
    const leaving = new AbortController();
    const left = failure(score(cluster, request, leaving.signal));
    await engine.waiting(4);
    leaving.abort();
    expect((await left).code).toBe("cancelled");
    engine.release();
    const answer = await score(cluster, request);
    expect(values(answer)).toEqual([3, 9, 6]);
    expect(answer.partial).toBe(false);
  });
});
