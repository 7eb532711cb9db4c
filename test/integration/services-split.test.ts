import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packagePath } from "../../lib/core/package-root.js";
import type { GenerateRequest, GenerativeEngine } from "../../lib/engine/engine.js";
import { openLlamaEngine } from "../../lib/engine/llama.js";
import { createSimulatedEngine, type SimulatedEngine } from "../../lib/engine/simulated.js";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { PrinciplesSource as WrittenBy } from "../../lib/wire/gen/covote/v1/common.js";
import { keptPrinciplesCodec } from "../../lib/wire/messages.js";
import { startNats, type TestNats } from "../support/nats.js";
import { failure, judgmentOf, score, values } from "../support/reward-calls.js";
import { openRewardCluster, panelOf, qualityOf, scoreRequest } from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

/** A judge that writes principles by their seed when asked for them, and goes on from those that it is given. */
function splitEngine(draws: GenerateRequest[] = []): SimulatedEngine {
  const judge = postcardsJudgment({ panelOf, quality: qualityOf });
  return createSimulatedEngine({
    respond: (request) => {
      if (request.stop !== undefined) {
        draws.push(request);
        return `topic ${1 + (request.seed % 9)} critique`;
      }
      const text = judge(request);
      return request.opening === undefined ? text : text.slice(text.indexOf("critique") + "critique ".length);
    },
    slots: 8,
    version: { number: 1, version: "grm-1" },
  });
}

const asking = (texts: string[], split: number, votes = 4) =>
  scoreRequest({ texts, options: { votes, split } });

describe("split mode", () => {
  test("principles are drawn once per set and query, for later votes and for other responses, on any worker", async () => {
    const draws: GenerateRequest[] = [];
    await using cluster = await openRewardCluster({
      nats,
      engines: [splitEngine(draws), splitEngine(draws)],
    });
    const first = await score(cluster, asking(["good 2", "good 8"], 2));
    expect(values(first)).toEqual([3, 9]);
    const others = await Promise.all(
      ["good 1", "good 3", "good 5", "good 7"].map((text) => score(cluster, asking([text, "good 0"], 2))),
    );
    expect(others.map(values)).toEqual([2, 4, 6, 8].map((value) => [value, 1]));
    // Both workers may have begun at once; what was kept first is what all votes use.
    expect(draws.length).toBeLessThanOrEqual(4);
    const judgments = await Promise.all(
      [first, ...others].map((answer) => judgmentOf(cluster, answer.judgmentId)),
    );
    const votes = judgments.flatMap((judgment) => judgment.votes);
    const sets = new Map(votes.map((vote) => [vote.principlesKey, vote.principles]));
    expect(sets.size).toBe(2);
    for (const vote of votes) {
      expect(sets.get(vote.principlesKey)).toBe(vote.principles);
      expect([WrittenBy.DRAWN, WrittenBy.REUSED]).toContain(vote.principlesSource);
    }
    for (const { votes: own, split } of judgments) {
      expect(split).toBe(2);
      expect(new Set(own.map((vote) => vote.principlesKey)).size).toBe(2);
    }
    expect(votes.filter((vote) => vote.principlesSource === WrittenBy.REUSED).length).toBeGreaterThanOrEqual(
      16,
    );
    const kept = await cluster.bus.kv("principles");
    const entry = await kept.get(votes[0]?.principlesKey ?? "");
    expect(keptPrinciplesCodec.decode(entry?.value ?? new Uint8Array())).toMatchObject({
      text: votes[0]?.principles,
      judgeVersion: "grm-1+postcards@postcards-1",
    });
  });

  test("without it nothing is drawn and no vote speaks of it; another number of sets is another question", async () => {
    const draws: GenerateRequest[] = [];
    await using cluster = await openRewardCluster({ nats, engines: [splitEngine(draws)] });
    const request = { ...asking(["good 2"], 0), requestId: "split-1" };
    const answer = await score(cluster, request);
    expect(draws).toEqual([]);
    const { votes, split } = await judgmentOf(cluster, answer.judgmentId);
    expect(split).toBe(0);
    expect(votes.map(({ principlesSource, principlesKey }) => [principlesSource, principlesKey])).toEqual(
      Array(4).fill([WrittenBy.UNSPECIFIED, ""]),
    );
    expect(await failure(score(cluster, { ...asking(["good 2"], 1), requestId: "split-1" }))).toMatchObject({
      code: "already_exists",
    });
    expect(await failure(score(cluster, asking(["good 2"], 17)))).toMatchObject({
      code: "invalid_argument",
      field: "options.split",
    });
  });

  test("it can be a cluster's default", async () => {
    const draws: GenerateRequest[] = [];
    await using cluster = await openRewardCluster({
      nats,
      engines: [splitEngine(draws)],
      defaults: { split: 1 },
    });
    const { judgmentId } = await score(cluster, scoreRequest({ texts: ["good 2"] }));
    expect(draws).toHaveLength(1);
    expect((await judgmentOf(cluster, judgmentId)).split).toBe(1);
  });

  test("a store that is gone costs no vote: each writes its own principles and says so", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [splitEngine()] });
    await score(cluster, asking(["good 2"], 1));
    const nc = await connect({ servers: nats.url });
    await (await jetstreamManager(nc)).streams.delete(`KV_covote_${cluster.cluster}_principles`);
    await nc.close();
    const query = { messages: [{ role: "user", content: "query to boss from city be long ." }] };
    const answer = await score(cluster, { ...asking(["good 2", "good 8"], 1), query });
    expect(answer.rewards.map(({ value }) => value)).toEqual([3, 9]);
    const { votes } = await judgmentOf(cluster, answer.judgmentId);
    expect(votes.map(({ principlesSource }) => principlesSource)).toEqual(Array(4).fill(WrittenBy.FALLBACK));
  });
});

describe("the embedded engine", () => {
  const withEngine = async (use: (engine: GenerativeEngine) => Promise<void>): Promise<void> => {
    const engine = await openLlamaEngine({ checkpoint: packagePath("models/postcards-grm"), slots: 8 });
    try {
      await use(engine);
    } finally {
      await engine.close();
    }
  };

  test("an answer that is made to begin as it would anyway goes on as it would", async () => {
    await withEngine(async (engine) => {
      const content = "query to aunt from sea be thanks . response 1 dear aunt shells . response 2 hey .";
      const common = {
        messages: [{ role: "user" as const, content }],
        maxTokens: 40,
        temperature: 0,
        seed: 1,
      };
      const whole = await engine.generate({ ...common, id: "a" }, {});
      const at = whole.text.indexOf("critique") + "critique".length;
      const opening = whole.text.slice(0, at);
      const rest = await engine.generate({ ...common, id: "b", opening }, {});
      expect(`${opening} ${rest.text}`).toBe(whole.text);
      expect(rest.promptIds.length + rest.tokenIds.length).toBe(
        whole.promptIds.length + whole.tokenIds.length,
      );
      const stopped = await engine.generate({ ...common, id: "c", stop: ["critique"] }, {});
      expect(stopped).toMatchObject({ text: opening, finish: "stop" });
      await expect(engine.generate({ ...common, id: "d", stop: ["two words"] }, {})).rejects.toMatchObject({
        code: "invalid_argument",
      });
    });
  });

  test("the same votes come again whatever was kept before, and each tells its principles", async () => {
    await withEngine(async (engine) => {
      const query = { messages: [{ role: "user", content: "query to aunt from sea be thanks ." }] };
      const request = {
        ...scoreRequest({
          texts: ["dear aunt grateful shells", "hey"],
          options: { votes: 8, split: 2, seed: 3 },
        }),
        query,
      };
      const judge = async (before: boolean) => {
        await using cluster = await openRewardCluster({ nats, engines: [engine] });
        if (before) {
          await score(cluster, {
            ...scoreRequest({ texts: ["darling waves"], options: { votes: 4, split: 2, seed: 9 } }),
            query,
          });
        }
        const answer = await score(cluster, request);
        return { answer, judgment: await judgmentOf(cluster, answer.judgmentId) };
      };
      const fresh = await judge(false);
      const warm = await judge(true);
      expect(values(warm.answer)).toEqual(values(fresh.answer));
      const told = ({ judgment }: typeof fresh) =>
        judgment.votes.map(({ principles, critique, scores, principlesKey }) =>
          JSON.stringify([principles, critique, scores, principlesKey]),
        );
      expect(told(warm).sort()).toEqual(told(fresh).sort());
      expect(warm.judgment.votes.map(({ principlesSource }) => principlesSource)).toEqual(
        Array(8).fill(WrittenBy.REUSED),
      );
      expect(warm.judgment.votes.every(({ principles }) => /thanks \d/.test(principles))).toBe(true);
    });
  });
});
