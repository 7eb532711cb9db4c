import { expect, test } from "vitest";
import type { Bus, RequestOptions } from "../../lib/bus/bus.js";
import { createSubjects } from "../../lib/bus/subjects.js";
import { createManualClock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import { silentLogger } from "../../lib/core/logger.js";
import type { MetaScoreItem, MetaScoreRequest } from "../../lib/wire/gen/covote/v1/judging.js";
import { metaScoreRequestCodec, metaScoreResponseCodec } from "../../lib/wire/messages.js";
import { createMetaClient } from "../../services/vote-aggregator/meta-client.js";

const item = (voteId: string): MetaScoreItem => ({
  voteId,
  query: { messages: [{ role: "user", content: "q" }] },
  responses: ["a"],
  judgmentText: `judgment ${voteId}`,
});

type Answer = (request: MetaScoreRequest, timeoutMs: number) => Promise<Uint8Array>;

function setUp(answer: Answer) {
  const clock = createManualClock(0);
  const requests: string[][] = [];
  const traces: string[] = [];
  const bus = {
    subjects: createSubjects("test"),
    request: (_subject: string, data: Uint8Array, { timeoutMs, traceparent = "" }: RequestOptions) => {
      traces.push(traceparent);
      const request = metaScoreRequestCodec.decode(data);
      requests.push(request.items.map((each) => each.voteId));
      return answer(request, timeoutMs);
    },
  } as unknown as Bus;
  const client = createMetaClient(
    { bus, clock, log: silentLogger },
    { batch: 3, lingerMs: 2, patienceMs: 100 },
  );
  return { clock, client, requests, traces };
}

const scored: Answer = async ({ items }) =>
  metaScoreResponseCodec.encode({
    scores: items.map(({ voteId }) => ({ voteId, logit: voteId.length, failure: "" })),
    version: "m-1",
  });

test("votes that come close together travel together, a full batch at once", async () => {
  const { clock, client, requests } = setUp(scored);
  const votes = ["a", "b", "c", "d"].map((id) => client.score(item(id), 10_000));
  expect(requests).toEqual([["a", "b", "c"]]);
  await clock.advance(2);
  expect(requests).toEqual([["a", "b", "c"], ["d"]]);
  expect(await Promise.all(votes)).toEqual(Array.from({ length: 4 }, () => ({ logit: 1, version: "m-1" })));
});

test("a request carries the trace of the judgment whose vote came first", async () => {
  const { clock, client, traces } = setUp(scored);
  const votes = ["t-1", "t-2"].map((trace) => client.score(item("a"), 10_000, trace));
  await clock.advance(2);
  await Promise.all(votes);
  expect(traces).toEqual(["t-1"]);
});

test("an item that the meta RM could not score, or that it mixed up, stays without a score", async () => {
  const { clock, client } = setUp(async () =>
    metaScoreResponseCodec.encode({
      scores: [
        { voteId: "a", logit: undefined, failure: "too long" },
        { voteId: "z", logit: 3, failure: "" },
        { voteId: "c", logit: Number.NaN, failure: "" },
      ],
      version: "m-1",
    }),
  );
  const votes = ["a", "b", "c"].map((id) => client.score(item(id), 10_000));
  await clock.advance(2);
  expect((await Promise.all(votes)).map((vote) => vote.logit)).toEqual([null, null, null]);
});

test("a batch that is too large for a message travels in parts; a vote that is too large alone gets null", async () => {
  const { clock, client, requests } = setUp((request, timeoutMs) => {
    const ids = request.items.map(({ voteId }) => voteId);
    return ids.length > 1 || ids.includes("b")
      ? Promise.reject(new CovoteError("invalid_argument", "exceeds max_payload"))
      : scored(request, timeoutMs);
  });
  const votes = ["a", "b", "c"].map((id) => client.score(item(id), 10_000));
  await clock.advance(2);
  expect((await Promise.all(votes)).map((vote) => vote.logit)).toEqual([1, null, 1]);
  expect(requests).toEqual([["a", "b", "c"], ["a", "b"], ["c"], ["a"], ["b"]]);
});

test("where nobody listens, patience is spent once; later votes are not held up, until one answers again", async () => {
  let away = true;
  const { clock, client, requests } = setUp((request, timeoutMs) =>
    away ? Promise.reject(new CovoteError("unavailable", "nobody")) : scored(request, timeoutMs),
  );
  const ask = (id: string) => client.score(item(id), 10_000);
  const first = ask("a");
  await clock.advance(102);
  expect(await first).toEqual({ logit: null, version: "" });
  const asked = requests.length;
  expect(asked).toBeGreaterThan(1);

  const second = ask("b");
  await clock.advance(2);
  expect((await second).logit).toBeNull();
  expect(requests).toHaveLength(asked + 1);

  away = false;
  const third = ask("c");
  await clock.advance(2);
  expect((await third).logit).toBe(1);
  away = true;
  const fourth = ask("d");
  await clock.advance(2);
  away = false;
  await clock.advance(100);
  expect((await fourth).logit).toBe(1);
});

test("a meta RM that died with a request is asked again, with growing patience, until the deadline", async () => {
  const patience: number[] = [];
  const { clock, client } = setUp((_request, timeoutMs) => {
    patience.push(timeoutMs);
    return clock.sleep(timeoutMs).then(() => {
      throw new CovoteError("deadline_exceeded", "no answer in time");
    });
  });
  const vote = client.score(item("a"), 1002);
  await clock.advance(2000);
  expect(await vote).toEqual({ logit: null, version: "" });
  expect(patience).toEqual([100, 200, 400]);
});

test("the second try counts", async () => {
  let tries = 0;
  const { clock, client } = setUp((request, timeoutMs) =>
    ++tries === 1
      ? Promise.reject(new CovoteError("deadline_exceeded", "no answer in time"))
      : scored(request, timeoutMs),
  );
  const vote = client.score(item("abc"), 10_000);
  await clock.advance(500);
  expect(await vote).toEqual({ logit: 3, version: "m-1" });
});
