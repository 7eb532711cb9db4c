/** What the spans say when not everything goes well; the whole tree is in tracing-cluster.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tracedBus } from "../../lib/bus/traced-bus.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { GenerateRequest, GenerativeEngine } from "../../lib/engine/engine.js";
import { createSimulatedEngine } from "../../lib/engine/simulated.js";
import { RewardServiceService } from "../../lib/wire/gen/covote/v1/reward.js";
import { freshCluster, startNats, type TestNats } from "../support/nats.js";
import { type RecordedSpan, recordingTracer } from "../support/recording-tracer.js";
import { score, values } from "../support/reward-calls.js";
import { openRewardCluster, scoreRequest, votingEngine } from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

const babbling = (): GenerativeEngine =>
  createSimulatedEngine({
    respond: () => "no judgment at all",
    slots: 8,
    version: { number: 1, version: "grm-1" },
  });

/** However slow the machine: no ballot is given to a second worker, or sent again. */
const patient = { ackWaitMs: 30_000, judge: { ballotPatienceMs: 30_000 } };

const ended = (spans: readonly RecordedSpan[]): string[] => spans.filter((s) => !s.ended).map((s) => s.name);

describe("spans", () => {
  test("of unparsable votes and null rewards say their reason, and are no errors", async () => {
    const tracer = recordingTracer();
    await using cluster = await openRewardCluster({ nats, engines: [babbling()], tracer, ...patient });
    const answer = await score(cluster);
    expect(values(answer)).toEqual([undefined, undefined, undefined]);
    for (const vote of tracer.named("vote")) {
      expect(vote).toMatchObject({ attributes: { "covote.null_reason": "unparsable" }, thrown: undefined });
    }
    const told = { "covote.null_rewards": 3, "covote.null_reasons": ["unparsable"] };
    expect(tracer.named("judgment")).toMatchObject([{ attributes: told }]);
    expect(tracer.named("tally")).toMatchObject([
      { attributes: { ...told, "covote.votes_usable": 0, "covote.vote_null_reasons": ["unparsable"] } },
    ]);
    expect(tracer.named("tally")[0]?.links).toEqual(expect.arrayContaining(tracer.named("vote")));
    expect(ended(tracer.spans)).toEqual([]);
  });

  test("go on in the engine: each request carries the span of its vote", async () => {
    const tracer = recordingTracer();
    const asked: GenerateRequest[] = [];
    const inner = votingEngine();
    const engine: GenerativeEngine = {
      ...inner,
      generate: (request, options) => {
        asked.push(request);
        return inner.generate(request, options);
      },
    };
    await using cluster = await openRewardCluster({ nats, engines: [engine], tracer, ...patient });
    await score(cluster, scoreRequest({ options: { votes: 3 } }));
    const votes = tracer.named("vote").map(({ traceparent }) => traceparent);
    expect(votes).toHaveLength(3);
    expect(asked.map(({ traceparent }) => traceparent).sort()).toEqual(votes.sort());
  });

  test("of a judgment that was refused, or whose caller has left, end with it", async () => {
    const tracer = recordingTracer();
    await using cluster = await openRewardCluster({ nats, engines: [], tracer, judge: { maxInFlight: 1 } });
    const leaving = new AbortController();
    const left = cluster.client.unary(RewardServiceService.score, scoreRequest(), { signal: leaving.signal });
    left.catch(() => undefined);
    await expect.poll(() => tracer.named("judgment").length).toBe(1);
    await expect(score(cluster)).rejects.toMatchObject({ code: "overloaded" });
    leaving.abort(new CovoteError("cancelled", "enough"));
    await expect(left).rejects.toMatchObject({ code: "cancelled" });
    await expect.poll(() => ended(tracer.spans)).toEqual([]);
    const calls = tracer
      .named("covote.v1.RewardService/Score")
      .map(({ thrown }) => CovoteError.from(thrown).code);
    expect(calls).toEqual(["cancelled", "overloaded"]);
    expect(tracer.named("judgment")).toMatchObject([{ attributes: { "covote.partial": true } }]);
  });

  test("of a delivery: one for each, with its number, its failure, and the publisher as parent", async () => {
    const tracer = recordingTracer();
    const bus = tracedBus(await nats.bus({ cluster: freshCluster() }), tracer);
    const done = deferred<void>();
    const parents: (string | undefined)[] = [];
    const loop = bus.work("prompts", { concurrency: 1, subjectToken: "policy" }, async (item) => {
      parents.push(item.traceparent);
      if (item.deliveryCount === 1) throw new CovoteError("unavailable", "not now");
      done.resolve();
    });
    await bus.enqueue("prompts", new Uint8Array([1]), { id: "one", subjectToken: "policy" });
    await done.promise;
    await loop.drain(1000);
    const [published] = tracer.named("prompts publish");
    const deliveries = tracer.named("prompts process");
    expect(deliveries.map((span) => span.parent)).toEqual([published, published]);
    expect(deliveries.map((span) => span.attributes["covote.delivery_count"])).toEqual([1, 2]);
    expect(deliveries[0]?.thrown).toMatchObject({ code: "unavailable" });
    expect(deliveries[1]?.thrown).toBeUndefined();
    expect(deliveries.map((span) => span.traceparent)).toEqual(parents);
    await bus.close();
  });
});
