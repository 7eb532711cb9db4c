import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createGrpcServer } from "../../lib/host/grpc.js";
import { createHealth } from "../../lib/host/health.js";
import {
  RewardServiceService,
  type ScoreStreamRequest,
  VoteRecord,
} from "../../lib/wire/gen/covote/v1/reward.js";
import type { Judge } from "../../services/vote-aggregator/judge.js";
import { createScorer, rewardApi } from "../../services/vote-aggregator/reward-api.js";
import { connect } from "../support/grpc-rewards.js";
import { startNats, type TestNats } from "../support/nats.js";
import { failure, score, values } from "../support/reward-calls.js";
import {
  defaults,
  heldEngine,
  openRewardCluster,
  scoreRequest,
  votingEngine,
} from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

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

  test("Watch that is not read fast enough ends as overloaded, says what to do, and leaves the judgment", async () => {
    const left = deferred<void>();
    const judge = {
      watch: (_id: string, onVote: (vote: VoteRecord) => void, signal: AbortSignal) => {
        // All before the first of them can be sent.
        for (let i = 0; i < 5000; i++) onVote(VoteRecord.create({ voteId: `v${i}` }));
        return new Promise<never>((_, reject) => {
          const leave = (): void => {
            left.resolve();
            reject(new CovoteError("cancelled", "the caller cancelled"));
          };
          if (signal.aborted) leave();
        });
      },
    } as unknown as Judge;
    const server = await createGrpcServer({
      address: { host: "127.0.0.1", port: 0 },
      services: [rewardApi(judge, createScorer(judge, systemClock(), defaults), defaults)],
      log: silentLogger,
      health: createHealth(),
    });
    onTestFinished(() => server.stop(deadlineIn(systemClock(), 0)));
    const client = connect(server);
    let votes = 0;
    const watching = (async () => {
      const stream = client.serverStream(RewardServiceService.watch, { judgmentId: "fast" });
      for await (const _event of stream) votes++;
    })();
    expect(await failure(watching)).toMatchObject({
      code: "overloaded",
      message:
        "judgment_id: 4096 votes of fast wait to be read; read faster, or ask GetJudgment once it has finished",
    });
    expect(votes).toBe(4096);
    await left.promise;
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
