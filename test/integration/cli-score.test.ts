import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRewardClient, type RewardClient, type Scored } from "../../cli/score/ask.js";
import { type JudgingCluster, openJudgingCluster } from "../../cli/score/judging-cluster.js";
import { scoreAll } from "../../cli/score/score.js";
import { systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { CovoteError } from "../../lib/core/errors.js";
import { silentLogger } from "../../lib/core/logger.js";
import type { GenerateRequest } from "../../lib/engine/engine.js";
import { createSimulatedEngine } from "../../lib/engine/simulated.js";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { createSimulatedScalarEngine } from "../../lib/engine/simulated-scalar.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { createGrpcServer, type GrpcService } from "../../lib/host/grpc.js";
import { bidi, serverStream, unary } from "../../lib/host/grpc-call.js";
import { createHealth } from "../../lib/host/health.js";
import { formatAddress } from "../../lib/host/listen.js";
import {
  JudgingOptions,
  type Judgment,
  RewardServiceService,
  ScoreResponse,
} from "../../lib/wire/gen/covote/v1/reward.js";
import { type ModelFolders, writePostcardsModels } from "../support/postcards-models.js";
import { covote, fakeTerminal } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-score-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Responses of the postcards prompt, in the order shown. */
function panelOf({ messages }: GenerateRequest): string[] {
  return [...(messages[0]?.content ?? "").matchAll(/response \d+ (.*?) ?\.(?= response|$)/g)].map(
    (match) => match[1] ?? "",
  );
}

/** Longer than any prompt with one short card, shorter than any with two. */
const roomForOneCard = 60;
const quality: Record<string, number> = { good: 1, bad: 0 };

describe("score, on judging services with a simulated reward model", () => {
  const clock = systemClock();
  const judge = postcardsJudgment({ panelOf, quality: (text) => quality[text] ?? 0.5 });
  let cluster: JudgingCluster;
  let client: RewardClient;
  beforeAll(async () => {
    cluster = await openJudgingCluster({
      config: compileCovoteConfig({ overrides: { "log.level": "warn" } }),
      env: process.env,
      clock,
      engines: {
        grm: async () =>
          createSimulatedEngine({
            maxPositions: roomForOneCard,
            respond: (request) =>
              panelOf(request).some((text) => text === "mumble") ? "scores are hard" : judge(request),
          }),
        metaRm: async () => createSimulatedScalarEngine({ logit: () => 1 }),
      },
    });
    client = createRewardClient(cluster.rewards, clock);
  });
  afterAll(async () => {
    client.close();
    await cluster.stop();
  });

  const ask = async (
    responses: string[],
    options: Partial<JudgingOptions> = {},
  ): Promise<Scored & { judgment: Judgment }> => {
    const task = { id: null, query: [{ role: "user" as const, content: "query" }], responses };
    const { signal } = new AbortController();
    const judging = JudgingOptions.fromPartial({ votes: 2, metaKeep: 0, ...options });
    const { judgment, ...scored } = await client.score(task, judging, signal);
    if (judgment === null) throw new Error("the rewards came without their votes");
    return { ...scored, judgment };
  };

  test("rewards come in the order of the responses, with every vote behind them", async () => {
    const { outcome, judgment } = await ask(["bad", "good", "so so"], { panelLimit: 2, metaKeep: 1 });
    expect(outcome.rewards.map((reward) => reward.value)).toEqual([1, 10, 6]);
    expect(outcome.partial).toBe(false);
    expect(judgment.votes.length).toBeGreaterThanOrEqual(4);
    for (const vote of judgment.votes) expect(vote.metaScore).toBe(1);
  });

  test("without a word about it, the meta RM keeps half of the votes cast", async () => {
    const { outcome, judgment } = await ask(["good"], { votes: 6, metaKeep: undefined });
    expect(judgment.metaKeep).toBe(3);
    expect(outcome.rewards[0]).toMatchObject({ votesUsable: 6, votesKept: 3 });
  });

  test("votes that cannot be read make the reward null, never a number", async () => {
    const { outcome, judgment } = await ask(["mumble"]);
    expect(outcome.rewards[0]).toMatchObject({ value: undefined, votesUsable: 0 });
    expect(judgment.votes.map((vote) => vote.scores)).toEqual([[], []]);
    expect(judgment.votes[0]?.failure).toMatch(/^bad_principles: /);
  });

  test("a panel too long for the model is split, and every response still gets its votes", async () => {
    const card = Array(12).fill("word").join(" ");
    const { outcome, judgment } = await ask([card, `${card} x`, `${card} y`, `${card} z`]);
    expect(outcome.rewards.every((reward) => reward.value === 6)).toBe(true);
    for (const vote of judgment.votes) expect(vote.order.length).toBeLessThan(4);
  });

  test("a response too long for the model alone is refused with the reason; its neighbours are judged", async () => {
    const { outcome, judgment } = await ask(["good", Array(80).fill("word").join(" ")]);
    expect(outcome.rewards[0]?.value).toBe(10);
    expect(outcome.rewards[1]?.value).toBeUndefined();
    const failures = judgment.votes.map((vote) => vote.failure).filter((failure) => failure !== "");
    expect(failures[0]).toMatch(/^panel of 1 needs \d+ tokens, the reward model takes 60$/);
  });

  test("answers come in the order of the questions; a group that was refused does not stop the others", async () => {
    const query = [{ role: "user" as const, content: "query" }];
    const tasks = [["good"], [], ["bad"]].map((responses, i) => ({ id: String(i), query, responses }));
    const seen: [string | null, number | string | undefined][] = [];
    await scoreAll(client, tasks, {
      judging: JudgingOptions.fromPartial({ votes: 1 }),
      signal: new AbortController().signal,
      answered: (task, answer) =>
        seen.push([task.id, answer instanceof CovoteError ? answer.field : answer.outcome.rewards[0]?.value]),
    });
    expect(seen).toEqual([
      ["0", 10],
      ["1", "responses"],
      ["2", 1],
    ]);
  });
});

test("a service that dies between the rewards and their votes: the rewards are answered", async () => {
  const outcome = ScoreResponse.fromPartial({ judgmentId: "j", rewards: [{ value: 7 }] });
  const rewards: GrpcService = {
    definition: RewardServiceService,
    implementation: {
      score: unary(async () => outcome),
      getJudgment: unary(() => Promise.reject(new CovoteError("unavailable", "records cannot be read now"))),
      scoreStream: bidi(none),
      watch: serverStream(none),
    },
  };
  const clock = systemClock();
  const address = { host: "127.0.0.1", port: 0 };
  const server = await createGrpcServer({
    ...{ address, services: [rewards], log: silentLogger, health: createHealth(), clock },
  });
  const client = createRewardClient(formatAddress(server.address), clock);
  try {
    const task = { id: null, query: [{ role: "user" as const, content: "query" }], responses: ["good"] };
    const { signal } = new AbortController();
    const scored = await client.score(task, JudgingOptions.fromPartial({ votes: 1 }), signal);
    expect(scored).toMatchObject({ outcome: { rewards: [{ value: 7 }] }, judgment: null });
  } finally {
    client.close();
    await server.stop(deadlineIn(clock, 500));
  }
});

async function* none(): AsyncIterable<never> {}

describe("covote score", () => {
  let models: ModelFolders;
  beforeAll(async () => {
    models = await writePostcardsModels(join(folder, "models"));
  });
  // Port 0 stands for "no cluster of this machine is meant".
  const alone = (): string[] => [...models.flags, "--set", "grpc.address=127.0.0.1:0"];

  test("starts the judging services when no cluster runs, says so, and answers honestly", async () => {
    const { code, out, err } = await covote([
      ...["score", ...alone(), "--query", "query to aunt", "--response", "dear aunt", "--response", "hey"],
      ...["--votes", "3", "--meta-keep", "2", "--temperature", "0.7", "--seed", "5", "--deadline", "20000"],
    ]);
    expect(err).toBe(
      "covote: no cluster is named: starting the judging services here (covote up keeps them running)\n",
    );
    expect(code).toBe(0);
    // The model is random: it writes nothing that could be read as scores.
    expect(out).toMatch(/^ {4}1 {2}null .* dear aunt$/m);
    expect(out).toContain("unparsable: ");
    expect(out).toMatch(/^ {2}failed/m);
  });

  test("lines of a file or of standard input become lines of JSON, in order, with their ids", async () => {
    const lines = [
      '{"id": "a", "query": "query to aunt", "responses": ["dear aunt", "hey"]}',
      '{"id": "b", "query": "query to boss", "responses": ["snow"]}',
    ].join("\n");
    const file = join(folder, "groups.jsonl");
    writeFileSync(file, lines);
    const fromFile = await covote(["score", ...alone(), "--file", file, "--json"]);
    const fromStdin = await covote(["score", ...alone(), "--json"], fakeTerminal({ stdin: lines }));
    const parse = (text: string): Record<string, unknown>[] =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    const answers = parse(fromFile.out);
    expect(answers).toMatchObject([
      { id: "a", rewards: [{ value: null, null_reason: "unparsable" }, { value: null }], partial: false },
      { id: "b", rewards: [{ value: null, null_reason: "unparsable" }], meta_version: null },
    ]);
    // The same seed, the same votes.
    const texts = (answer: Record<string, unknown>): unknown =>
      (answer.votes as { failure: string; order: number[] }[]).map(({ failure, order }) => [failure, order]);
    expect(parse(fromStdin.out).map(texts)).toEqual(answers.map(texts));
  });
});
