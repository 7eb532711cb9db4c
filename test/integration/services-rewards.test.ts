import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { publishModel } from "../../lib/bus/model-versions.js";
import type { NatsBus } from "../../lib/bus/open-bus.js";
import { systemClock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import type { CovoteError } from "../../lib/core/errors.js";
import { createSimulatedScalarEngine } from "../../lib/engine/simulated-scalar.js";
import { NullReason } from "../../lib/wire/gen/covote/v1/common.js";
import {
  type Judgment,
  RewardServiceService,
  type ScoreResponse,
  type ScoreStreamRequest,
} from "../../lib/wire/gen/covote/v1/reward.js";
import { ballotCodec } from "../../lib/wire/messages.js";
import { startNats, type TestNats } from "../support/nats.js";
import {
  heldEngine,
  openRewardCluster,
  type RewardCluster,
  scoreRequest,
  until,
  votingEngine,
} from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

const score = (cluster: RewardCluster, request = scoreRequest(), signal?: AbortSignal) =>
  cluster.client.unary(RewardServiceService.score, request, signal === undefined ? {} : { signal });
const judgmentOf = async (cluster: RewardCluster, judgmentId: string): Promise<Judgment> => {
  const { judgment } = await cluster.client.unary(RewardServiceService.getJudgment, { judgmentId });
  if (judgment === undefined) throw new Error("no judgment");
  return judgment;
};
const values = (response: ScoreResponse): (number | undefined)[] => response.rewards.map((r) => r.value);
const reasons = (response: ScoreResponse): NullReason[] => response.rewards.map((r) => r.nullReason);
const failure = (call: Promise<unknown>): Promise<CovoteError> =>
  call.then(
    () => Promise.reject(new Error("it did not fail")),
    (error: CovoteError) => error,
  );

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
    const later = await score(cluster, request);
    expect(later).toEqual(first);
    expect(engine.started).toBe(4);
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

describe("deadlines, cancels and limits", () => {
  test("at the deadline the answer is what is known, marked as partial", async () => {
    const quick = votingEngine();
    const stuck = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({
      nats,
      engines: [
        {
          ...quick,
          generate: (request, opts) => (request.id.includes(":0:0:") ? quick : stuck).generate(request, opts),
        },
      ],
    });
    const answer = await score(cluster, scoreRequest({ options: { deadlineMs: 400 } }));
    expect(answer.partial).toBe(true);
    expect(values(answer)).toEqual([3, 9, 6]);
    expect(answer.rewards.map((reward) => reward.votesUsable)).toEqual([2, 2, 2]);
    await until("the votes that are not needed are cancelled", () => stuck.held === 0);
  });

  test("nothing by the deadline: null with `deadline`", async () => {
    const stuck = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [stuck] });
    const answer = await score(cluster, scoreRequest({ options: { deadlineMs: 300 } }));
    expect(answer.partial).toBe(true);
    expect(new Set(reasons(answer))).toEqual(new Set([NullReason.DEADLINE]));
    expect(values(answer)).toEqual([undefined, undefined, undefined]);
  });

  test("a client that cancels frees the engine's slots", async () => {
    const engine = votingEngine({ failures: { hang: 1 } });
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const leaving = new AbortController();
    const left = failure(score(cluster, scoreRequest(), leaving.signal));
    await until("votes run", () => engine.stats().running === 4);
    leaving.abort();
    expect((await left).code).toBe("cancelled");
    await until("all slots are free", () => engine.stats().running === 0);
    expect(cluster.aggregator.judge.inFlight()).toBe(0);
  });

  test("a ballot whose cancel never came frees the engine's slots at its deadline", async () => {
    const engine = votingEngine({ failures: { hang: 1 } });
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    await enqueueBallot(cluster.bus, systemClock().now() + 1000);
    await until("the vote runs", () => engine.stats().running === 1);
    await until("the slot is free", () => engine.stats().running === 0);
  });

  test("a vote travels with the trace of its ballot", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    const { bus } = cluster;
    const traces: (string | undefined)[] = [];
    bus.subscribe(bus.subjects.votes(bus.id), {}, (_vote, meta) => void traces.push(meta.traceparent));
    await bus.flush();
    const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await enqueueBallot(bus, systemClock().now() + 10_000, trace);
    await until("the vote is there", () => traces.length > 0);
    expect(traces[0]).toBe(trace);
  });

  test("a client that cancels does not end the judgment of another one", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const request = scoreRequest({ requestId: "shared" });
    const leaving = new AbortController();
    const stays = score(cluster, request);
    await engine.waiting(4);
    const left = failure(score(cluster, request, leaving.signal));
    leaving.abort();
    await left;
    engine.release();
    expect(values(await stays)).toEqual([3, 9, 6]);
  });

  test("more judgments than there is room for are refused with a time to come back", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine], judge: { maxInFlight: 1 } });
    const first = score(cluster, scoreRequest({ requestId: "first" }));
    await engine.waiting(4);
    const refused = await failure(score(cluster, scoreRequest({ requestId: "second" })));
    expect(refused.code).toBe("overloaded");
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    engine.release();
    await first;
    expect(values(await score(cluster, scoreRequest({ requestId: "second" })))).toEqual([3, 9, 6]);
  });
});

/** A ballot of no judgment that an aggregator knows; its vote comes to this bus. */
async function enqueueBallot(bus: NatsBus, deadlineAtMs: number, traceparent = ""): Promise<void> {
  const ballot = {
    ballotId: "lost:0:0",
    judgmentId: "lost",
    replySubject: bus.subjects.votes(bus.id),
    query: scoreRequest().query,
    responses: ["good 2", "good 8"],
    tickets: [{ voteId: "lost:0:0:0", seed: 1 }],
    temperature: 1,
    deadlineAtMs,
    judgeVersion: "",
    traceparent,
  };
  await bus.enqueue("ballots", ballotCodec.encode(ballot), { id: "lost-0", subjectToken: "hi" });
}

describe("engines that fail", () => {
  test("votes of a dead engine are cast by another worker", async () => {
    const dead = votingEngine();
    dead.kill();
    await using cluster = await openRewardCluster({ nats, engines: [dead, votingEngine()] });
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => score(cluster, scoreRequest({ options: { votes: 8 } }))),
    );
    for (const answer of answers) expect(values(answer)).toEqual([3, 9, 6]);
    const judgment = await judgmentOf(cluster, answers[0]?.judgmentId ?? "");
    expect(new Set(judgment.votes.map((vote) => vote.worker))).toEqual(new Set(["worker-1"]));
  });

  test("an engine that comes back is used again", async () => {
    const engine = votingEngine();
    engine.kill();
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const answering = score(cluster);
    await until("the engine was tried", () => engine.stats().running === 0);
    engine.revive();
    expect(values(await answering)).toEqual([3, 9, 6]);
  });

  test("all engines dead: null with `engine_unavailable`, in seconds and not at the deadline", async () => {
    const engines = [votingEngine(), votingEngine()];
    for (const engine of engines) engine.kill();
    await using cluster = await openRewardCluster({ nats, engines });
    const answer = await score(cluster);
    expect(values(answer)).toEqual([undefined, undefined, undefined]);
    expect(new Set(reasons(answer))).toEqual(new Set([NullReason.ENGINE_UNAVAILABLE]));
    expect(answer.partial).toBe(false);
  });

  test("a worker that dies with its ballots: another one casts them", async () => {
    const stuck = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [stuck] });
    const answering = score(cluster);
    await stuck.waiting(4);
    await cluster.workerBuses[0]?.close();
    await cluster.addWorker(votingEngine());
    expect(values(await answering)).toEqual([3, 9, 6]);
  });

  test("new weights in the middle of a judgment: one judge version for the whole group", async () => {
    const old = votingEngine({ version: { number: 1, version: "grm-1" } });
    const fresh = votingEngine({ version: { number: 2, version: "grm-2" } });
    let votes = 0;
    const changing = {
      ...fresh,
      generate: (...args: Parameters<typeof fresh.generate>) =>
        (votes++ === 0 ? old : fresh).generate(...args),
    };
    await using cluster = await openRewardCluster({ nats, engines: [changing] });
    const answer = await score(cluster, scoreRequest({ requestId: "changing" }));
    const judgment = await judgmentOf(cluster, "changing");
    expect(judgment.votes.map((vote) => vote.judgeVersion)).toEqual(
      Array.from({ length: 4 }, () => "grm-2+postcards@postcards-1"),
    );
    expect(values(answer)).toEqual([3, 9, 6]);
    expect(answer.judgeVersion).toBe("grm-2+postcards@postcards-1");
    expect(votes).toBeGreaterThan(4);
  });

  test("published weights are taken up by a running worker, and by one that starts later", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    expect((await score(cluster)).judgeVersion).toMatch(/^grm-1\+/);
    const safetensors = new Uint8Array([1, 2, 3]);
    const model = { role: "grm", number: 5, version: "grm-5", runId: "r", safetensors } as const;
    await publishModel(cluster.bus, systemClock(), model);
    let version = "";
    for (const untilMs = performance.now() + 5000; !version.startsWith("grm-5+"); ) {
      if (performance.now() > untilMs) throw new Error(`still judged by ${version}`);
      version = (await score(cluster)).judgeVersion;
    }
    const late = votingEngine();
    await cluster.addWorker(late);
    expect(late.version().version).toBe("grm-5");
  });
});

describe("streams", () => {
  test("Watch tells the votes as they come, then the result", async () => {
    const engine = heldEngine(votingEngine());
    await using cluster = await openRewardCluster({ nats, engines: [engine] });
    const answering = score(cluster, scoreRequest({ requestId: "watched" }));
    await engine.waiting(4);
    const attached = deferred<void>();
    const { judge } = cluster.aggregator;
    const { watch } = judge;
    judge.watch = (...args) => {
      const watched = watch(...args);
      attached.resolve();
      return watched;
    };
    const events: string[] = [];
    const watching = (async () => {
      const stream = cluster.client.serverStream(RewardServiceService.watch, { judgmentId: "watched" });
      for await (const { event } of stream) {
        events.push(event?.$case ?? "none");
        if (event?.$case === "finished") expect(values(event.value)).toEqual([3, 9, 6]);
      }
    })();
    await attached.promise;
    engine.release();
    await answering;
    await watching;
    expect(events).toEqual(["vote", "vote", "vote", "vote", "finished"]);
  });

  test("Watch of a finished judgment is its result; of an unknown one it is NOT_FOUND", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    await score(cluster, scoreRequest({ requestId: "done" }));
    const events: unknown[] = [];
    for await (const { event } of cluster.client.serverStream(RewardServiceService.watch, {
      judgmentId: "done",
    }))
      events.push(event?.$case);
    expect(events).toEqual(["finished"]);
    const unknown = (async () => {
      for await (const event of cluster.client.serverStream(RewardServiceService.watch, {
        judgmentId: "never",
      }))
        void event;
    })();
    expect(await failure(unknown)).toMatchObject({ code: "not_found" });
  });

  test("ScoreStream answers every request, good ones and bad ones, under its id", async () => {
    await using cluster = await openRewardCluster({ nats, engines: [votingEngine()] });
    async function* requests(): AsyncIterable<ScoreStreamRequest> {
      for (let i = 0; i < 20; i++) {
        const texts = i % 5 === 0 ? [] : ["good 2", "good 8"];
        yield { request: scoreRequest({ requestId: `s${i}`, texts }) };
      }
    }
    const answers = new Map<string, string>();
    for await (const { requestId, outcome } of cluster.client.bidi(
      RewardServiceService.scoreStream,
      requests(),
    )) {
      answers.set(requestId, outcome?.$case ?? "none");
      if (outcome?.$case === "failure") expect(outcome.value).toMatchObject({ code: 3 });
    }
    expect(answers.size).toBe(20);
    for (let i = 0; i < 20; i++) expect(answers.get(`s${i}`)).toBe(i % 5 === 0 ? "failure" : "response");
  });
});
