/** The traces of a real cluster, as a collector receives them: one Score call, one training step. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Cluster } from "../../cli/cluster/cluster.js";
import { openProcessCluster } from "../../cli/cluster/many-processes.js";
import { openOneProcessCluster } from "../../cli/cluster/one-process.js";
import { systemClock } from "../../lib/core/clock.js";
import { silentLogger } from "../../lib/core/logger.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { createGrpcClient } from "../../lib/host/grpc-client.js";
import { RewardServiceService, type ScoreResponse } from "../../lib/wire/gen/covote/v1/reward.js";
import { freshCluster, startNats, type TestNats } from "../support/nats.js";
import { type OtlpReceiver, openOtlpReceiver, pathOf, type ReceivedSpan } from "../support/otlp-receiver.js";
import { scoreRequest } from "../support/reward-cluster.js";

const caller = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true };
const groups = 2;

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

describe.each([
  { layout: "in one process", open: openOneProcessCluster },
  { layout: "as processes", open: openProcessCluster },
])("a cluster $layout that traces", ({ layout, open }) => {
  let collector: OtlpReceiver;
  let answer: ScoreResponse;
  let spans: readonly ReceivedSpan[];
  const dir = mkdtempSync(join(tmpdir(), "covote-tracing-"));
  const named = (name: string): ReceivedSpan[] => spans.filter((span) => span.name === name);
  const paths = (some: readonly ReceivedSpan[]): string[] =>
    [...new Set(some.map((s) => pathOf(s, spans)))].sort();

  beforeAll(async () => {
    collector = await openOtlpReceiver();
    const config = compileCovoteConfig({
      overrides: {
        "cluster.name": freshCluster(),
        "tracing.endpoint": collector.url,
        "run.dir": join(dir, "run"),
        "grpc.address": "127.0.0.1:0",
        "metrics.port": 0,
        "training.steps": 1,
        "training.groupsPerStep": groups,
        "training.groupSize": 3,
        "judging.votes": 3,
        "judging.votesPerBallot": 2,
        "log.level": "silent",
        // However slow the machine: nothing is delivered twice.
        "nats.ackWaitMs": 30_000,
      },
    });
    const options = { config, natsUrl: nats.url, clock: systemClock(), log: silentLogger, dir, env: {} };
    const cluster: Cluster = await open(options);
    try {
      const client = createGrpcClient({ address: cluster.rewards, what: "reward service" });
      const texts = ["hey friend . thanks for the river .", "hello friend .", "the boss has thanks ."];
      answer = await client.unary(RewardServiceService.score, scoreRequest({ texts }), { trace: caller });
      client.close();
      const { finished } = await cluster.startLearner();
      await finished;
    } finally {
      await cluster.stop();
    }
    spans = collector.spans;
  }, 60_000);
  afterAll(async () => {
    await collector[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  });

  test("continues the caller's trace from the call to the tally", () => {
    const call = `(${caller.spanId}) > covote.v1.RewardService/Score`;
    const ballot = `${call} > judgment > ballots publish > ballots process`;
    const vote = `${ballot} > vote`;
    expect(paths(spans.filter((span) => span.traceId === caller.traceId))).toEqual(
      [
        call,
        `${call} > judgment`,
        `${call} > judgment > ballots publish`,
        ballot,
        vote,
        `${vote} > meta score`,
        `${vote} > meta score > meta-scores request`,
        `${vote} > meta score > meta-scores request > meta-rm process`,
        `${call} > judgment > tally`,
      ].sort(),
    );
  });

  test("links the tally to the spans of all its votes", () => {
    const [tally] = spans.filter((span) => span.name === "tally" && span.traceId === caller.traceId);
    const votes = spans.filter((span) => span.name === "vote" && span.traceId === caller.traceId);
    expect(votes).toHaveLength(3);
    expect(tally?.links.map((link) => link.spanId).sort()).toEqual(votes.map((vote) => vote.spanId).sort());
    expect(votes.map((vote) => vote.attributes["covote.judgment_id"])).toEqual(
      Array(3).fill(expect.stringContaining(answer.judgmentId)),
    );
    for (const { attributes } of votes) {
      expect(attributes["covote.judge_version"]).toBe(answer.judgeVersion);
      expect(attributes["gen_ai.usage.output_tokens"]).toBeGreaterThan(0);
    }
  });

  test("says what came of the judgment", () => {
    const [judgment] = spans.filter((span) => span.name === "judgment" && span.traceId === caller.traceId);
    expect(judgment?.attributes).toMatchObject({
      "covote.judgment_id": answer.judgmentId,
      "covote.judge_version": answer.judgeVersion,
      "covote.votes": 3,
      "covote.null_rewards": 0,
      "covote.partial": false,
    });
  });

  test("tells of a group from the request for it to its way into the step", () => {
    const asked = named("group");
    expect(asked).toHaveLength(groups);
    for (const group of asked) {
      expect(group.parentSpanId).toBe("");
      const sampled = "group > prompts publish > prompts process";
      const judged = `${sampled} > rollouts publish > rollouts process`;
      const found = paths(spans.filter((span) => span.traceId === group.traceId));
      for (const path of [
        `${sampled} > sample`,
        `${judged} > judgment > ballots publish > ballots process > vote`,
        `${judged} > judgment > tally`,
        `${judged} > experience publish > experience process`,
      ]) {
        expect(found).toContain(path);
      }
    }
  });

  test("links the step to the groups that it was made of", () => {
    const [step, ...more] = named("step");
    expect(more).toEqual([]);
    const experience = named("experience process");
    expect(new Set(step?.links.map((link) => link.spanId))).toEqual(new Set(experience.map((e) => e.spanId)));
    expect(new Set(step?.links.map((link) => link.traceId))).toEqual(
      new Set(named("group").map((g) => g.traceId)),
    );
    expect(step?.attributes).toMatchObject({
      "covote.step": 1,
      "covote.groups": groups,
      "covote.run_id": "run",
    });
    const phases = spans.filter((span) => span.traceId === step?.traceId && span !== step);
    expect(paths(phases)).toEqual(
      expect.arrayContaining(["step > ask", "step > publish weights", "step > save"]),
    );
  });

  test("leaves no span without its parent, and none that ends before it begins", () => {
    const known = new Set([...spans.map((span) => span.spanId), caller.spanId, ""]);
    expect(spans.filter((span) => !known.has(span.parentSpanId)).map((span) => span.name)).toEqual([]);
    expect(spans.filter((span) => span.endNs < span.startNs)).toEqual([]);
    expect(
      spans.filter((span) => span.status !== 0).map(({ name, statusMessage }) => [name, statusMessage]),
    ).toEqual([]);
  });

  test("names the process of each span", () => {
    const services = new Set(spans.map((span) => span.service));
    expect([...services].sort()).toEqual(
      layout === "in one process"
        ? ["covote", "grpo-learner"]
        : ["grm-worker", "grpo-learner", "meta-rm", "policy-sampler", "vote-aggregator"],
    );
  });
});
