import { expect, test } from "vitest";
import { voteBudgetCodec } from "../../lib/wire/messages.js";
import { startNats } from "../support/nats.js";
import { judgmentOf, score } from "../support/reward-calls.js";
import { openRewardCluster, scoreRequest, votingEngine } from "../support/reward-cluster.js";

test("the votes that a co-scaler decides for are given to judgments that leave them open, and are on the record", async () => {
  await using nats = await startNats();
  await using cluster = await openRewardCluster({
    nats,
    engines: [votingEngine()],
    voteBudget: { min: 2, max: 6 },
  });
  const store = await cluster.bus.kv("scaling");
  const decide = (votes: number, validUntilMs = Date.now() + 60_000): Promise<number> =>
    store.put("votes", voteBudgetCodec.encode({ votes, decisionId: `d${votes}`, validUntilMs }));
  let requests = 0;
  const judged = async (options: { votes?: number } = {}, requestId = `r${++requests}`) => {
    await score(cluster, scoreRequest({ requestId, options }));
    const { votes, voteChoice } = await judgmentOf(cluster, requestId);
    return { votes: votes.length, voteChoice };
  };
  const asAsked = { votes: 4, voteChoice: undefined };

  expect(await judged()).toEqual(asAsked);
  await decide(5);
  const five = { votes: 5, voteChoice: { asked: 4, votes: 5, decisionId: "d5" } };
  await expect.poll(() => judged(), { timeout: 10_000 }).toEqual(five);
  // Who asks for a number gets it.
  expect(await judged({ votes: 3 })).toEqual({ votes: 3, voteChoice: undefined });
  await decide(100);
  await expect
    .poll(() => judged(), { timeout: 10_000 })
    .toMatchObject({ votes: 6, voteChoice: { decisionId: "d100" } });
  // A repeat gets the judgment that there is, whatever was decided since.
  const again = await judged({}, "kept");
  await decide(2);
  await expect.poll(() => judged(), { timeout: 10_000 }).toMatchObject({ votes: 2 });
  expect(await judged({}, "kept")).toEqual(again);
  // A co-scaler that is gone decides nothing.
  await decide(3, Date.now() - 1);
  await expect.poll(() => judged(), { timeout: 10_000 }).toEqual(asAsked);
  await store.put("votes", new TextEncoder().encode("no budget"));
  expect(await judged()).toEqual(asAsked);
});

test("an aggregator that was not told to leaves the votes alone", async () => {
  await using nats = await startNats();
  await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
  const store = await cluster.bus.kv("scaling");
  const validUntilMs = Date.now() + 60_000;
  await store.put("votes", voteBudgetCodec.encode({ votes: 2, decisionId: "d", validUntilMs }));
  await score(cluster, scoreRequest({ requestId: "r" }));
  expect(await judgmentOf(cluster, "r")).toMatchObject({ voteChoice: undefined, votes: { length: 4 } });
});
