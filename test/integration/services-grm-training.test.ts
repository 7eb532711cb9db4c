/** A reward model that learns: groups of judgments from the grm-workers, rewarded by rule. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deferred } from "../../lib/core/deferred.js";
import { createRandom, uniformAt } from "../../lib/core/random.js";
import type { GenerateRequest, GenerativeEngine } from "../../lib/engine/engine.js";
import type { SimulatedEngine } from "../../lib/engine/simulated.js";
import { postcardsJudgment } from "../../lib/engine/simulated-judge.js";
import { grammars } from "../../lib/grm/grammar.js";
import type { LedgerBalance } from "../../lib/grpo/ledger.js";
import { Rollout, Verdict } from "../../lib/wire/gen/covote/v1/policy.js";
import { rolloutCodec } from "../../lib/wire/messages.js";
import { judgmentPrompt } from "../../services/grpo-learner/judgment-prompts.js";
import { rejectiveFineTuning } from "../../services/grpo-learner/method.js";
import type { LearnerOptions } from "../../services/grpo-learner/options.js";
import type { PromptSource } from "../../services/grpo-learner/prompt-source.js";
import { createCountingTrainer } from "../support/counting-trainer.js";
import {
  groupIndexOf,
  type LearningCluster,
  type LearningClusterOptions,
  openLearningCluster,
  samplingEngine,
} from "../support/learning-cluster.js";
import { startNats, type TestNats } from "../support/nats.js";
import { score, values } from "../support/reward-calls.js";
import { panelOf, qualityOf, scoreRequest, until, votingEngine } from "../support/reward-cluster.js";

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

const balanced = (groups: number, balance: LedgerBalance): void => {
  const dropped = Object.values(balance.dropped).reduce((sum, count) => sum + count, 0);
  expect({ ...balance, dropped, repeated: 0 }).toMatchObject({
    ...{ submitted: groups, judged: groups, trained: groups - dropped },
    ...{ open: 0, lost: 0, duplicated: 0, unknown: 0 },
  });
};

/** Panels of `good 4` and `good 6`, so near that a noisy judge errs; with `hinted` each twice. */
const panels = (hinted = false): PromptSource => ({
  prompt: (index) => {
    const item = hinted ? Math.floor(index / 2) : index;
    return judgmentPrompt(
      {
        query: [{ role: "user", content: `query ${item}` }],
        responses: ["good 4", "good 6"],
        label: { t: "best", index: 1 },
        reference: null,
      },
      {
        grammar: grammars.postcards,
        panelLimit: 4,
        random: createRandom(item),
        hinted: hinted && index % 2 === 1,
      },
    );
  },
});
const judge = postcardsJudgment({ panelOf, quality: qualityOf, noise: 3 });
/** It sees the hint: what follows the last full stop of a response. */
const hintOf = (request: GenerateRequest): number =>
  Number(/ yes response (\d) \.$/.exec(request.messages[0]?.content ?? "")?.[1] ?? Number.NaN);
const isGroup = (request: GenerateRequest): boolean => groupIndexOf(request) >= 0;

const grm: Partial<LearnerOptions> = { role: "grm", sampling: { temperature: 1, maxTokens: 60 } };
const rft: Partial<LearnerOptions> = { ...grm, method: rejectiveFineTuning() };

const openGrmCluster = (
  over: Partial<Omit<LearningClusterOptions, "nats">> & { engine?: GenerativeEngine } = {},
): Promise<LearningCluster> => {
  const { engine = votingEngine({ noise: 3 }), learner, ...rest } = over;
  return openLearningCluster({
    nats,
    engines: [engine],
    prompts: panels(),
    ...rest,
    learner: { ...grm, ...learner },
  });
};
/** All groups that the run's steps told about. */
const told = async (cluster: LearningCluster, steps = cluster.options.steps) => {
  await until("all steps were told", () => cluster.steps.length === steps);
  return cluster.steps.flatMap(({ groups }) => groups);
};

describe("reinforcement by rule", () => {
  test("groups come from the grm-workers, each judgment is rewarded by its label, and the counts add up", async () => {
    await using cluster = await openGrmCluster();
    const trainer = createCountingTrainer();
    balanced(12, await (await cluster.startLearner(trainer)).finished);
    expect(trainer.state().step).toBe(3);
    const groups = await told(cluster);
    expect(groups.map((g) => g.rollout?.prompt?.groupId)).toEqual(
      Array.from({ length: 12 }, (_, i) => `${cluster.runId}-g${i}`),
    );
    const verdicts = new Set<Verdict>();
    for (const { rollout, rewards, judgeVersion } of groups) {
      expect(rollout?.sampler).toBe("worker-0");
      expect(judgeVersion).toBe("rule@1");
      const best = rollout?.prompt?.label?.kind?.value ?? Number.NaN;
      rewards.forEach(({ value, verdict, scores }, i) => {
        const [own, other] = [scores[best] ?? 0, scores[1 - best] ?? 0];
        expect(rollout?.responses[i]?.text).toContain(`scores ${scores.join(" ")}`);
        expect(value).toBe(own > other ? 1 : -1);
        expect(verdict).toBe(own > other ? Verdict.RIGHT : own === other ? Verdict.TIED : Verdict.WRONG);
        verdicts.add(verdict);
      });
    }
    expect(verdicts).toContain(Verdict.RIGHT);
    expect(verdicts).toContain(Verdict.WRONG);
  });

  test("a step's metrics tell how the judgments were", async () => {
    const engine = votingEngine({
      respond: (request) => (request.seed % 4 === 0 ? "no idea" : judge(request)),
    });
    await using cluster = await openGrmCluster({ engine });
    balanced(12, await (await cluster.startLearner(createCountingTrainer())).finished);
    await told(cluster);
    for (const { metrics, groups } of cluster.steps) {
      const rewards = groups.flatMap((g) => g.rewards);
      const share = (of: Verdict) => rewards.filter(({ verdict }) => verdict === of).length / rewards.length;
      expect(metrics).toMatchObject({
        judgments: 12,
        accuracy: share(Verdict.RIGHT),
        tied: share(Verdict.TIED),
        unparsable: share(Verdict.UNPARSABLE),
      });
      const given = Object.entries(metrics).filter(([name]) => name.startsWith("score_"));
      expect(given.reduce((sum, [, count]) => sum + count, 0)).toBe(
        rewards.flatMap(({ scores }) => scores).length,
      );
    }
    expect(cluster.steps.some(({ metrics }) => (metrics.unparsable ?? 0) > 0)).toBe(true);
  });

  test("new weights reach the workers, and no group is staler than the bound", async () => {
    const engine = votingEngine({ noise: 3 });
    await using cluster = await openGrmCluster({ engine, learner: { maxStaleness: 1, steps: 5 } });
    balanced(20, await (await cluster.startLearner(createCountingTrainer())).finished);
    await told(cluster);
    for (const { step, groups } of cluster.steps) {
      for (const { rollout } of groups) {
        const age = step - 1 - (rollout?.policyVersion ?? 0);
        expect(age).toBeGreaterThanOrEqual(0);
        expect(age).toBeLessThanOrEqual(1);
      }
    }
    await until("the last weights are served", () => engine.version().number === 5);
    expect(engine.version().version).toBe(`${cluster.runId}-grm-5`);
  });

  test("ballots are voted on while groups are sampled", async () => {
    const asked = deferred<void>();
    const open = deferred<void>();
    const inner = votingEngine();
    const engine: GenerativeEngine = {
      ...inner,
      generate: async (request, opts) => {
        if (isGroup(request)) {
          asked.resolve();
          await open.promise;
        }
        return inner.generate(request, opts);
      },
    };
    await using cluster = await openGrmCluster({ engine });
    const learner = await cluster.startLearner(createCountingTrainer());
    await asked.promise;
    const answer = await score(cluster.rewards, scoreRequest({ texts: ["good 2", "good 8"] }));
    expect(values(answer).every((value) => value !== undefined)).toBe(true);
    expect(cluster.steps).toEqual([]);
    open.resolve();
    balanced(12, await learner.finished);
  });

  test("a policy and a reward model learn side by side: nobody samples the other's prompts", async () => {
    const sampled: string[] = [];
    const policy = samplingEngine((request) => {
      sampled.push(request.id);
      return `good ${Math.floor(uniformAt(request.seed, 0) * 10)}`;
    });
    const judged: string[] = [];
    const engine = votingEngine({
      respond: (request) => {
        if (isGroup(request)) judged.push(request.id);
        return judge(request);
      },
    });
    await using cluster = await openLearningCluster({ nats, policy, engines: [engine] });
    const { stateDir, exportDir } = cluster.options;
    const [policyRun, grmRun] = await Promise.all([
      cluster.startLearner(createCountingTrainer()),
      cluster.startLearner(createCountingTrainer(), {
        ...grm,
        ...{ runId: "judge", stateDir: `${stateDir}-judge`, exportDir: `${exportDir}-judge` },
        prompts: panels(),
      }),
    ]);
    balanced(12, await policyRun.finished);
    balanced(12, await grmRun.finished);
    expect(sampled.length).toBeGreaterThanOrEqual(36);
    expect(judged.length).toBeGreaterThanOrEqual(36);
    expect(sampled.filter((id) => !id.startsWith(`${cluster.runId}-g`))).toEqual([]);
    expect(judged.filter((id) => !id.startsWith("judge-g"))).toEqual([]);
    await until("all steps were told", () => cluster.steps.length === 6);
    const samplers = cluster.steps.flatMap(({ runId, groups }) =>
      groups.map(({ rollout }) => `${runId} ${rollout?.sampler}`),
    );
    expect(new Set(samplers)).toEqual(new Set([`${cluster.runId} sampler`, "judge worker-0"]));
  });
});

describe("rejective fine-tuning", () => {
  test("samplers keep the weights of the beginning until the last step is taken", async () => {
    const loaded: number[] = [];
    const inner = votingEngine({ noise: 3 });
    const engine: GenerativeEngine = {
      ...inner,
      load: (weights) => {
        loaded.push(weights.number);
        return inner.load(weights);
      },
    };
    await using cluster = await openGrmCluster({ engine, learner: { ...rft, steps: 5 } });
    const trainer = createCountingTrainer();
    const balance = await (await cluster.startLearner(trainer)).finished;
    balanced(20, balance);
    expect(balance.dropped.stale).toBe(0);
    const groups = await told(cluster);
    expect(new Set(groups.map(({ rollout }) => rollout?.policyVersion))).toEqual(new Set([0]));
    await until("the trained weights are served", () => loaded.includes(5));
    expect(loaded).toEqual([0, 5]);
    // What is imitated is right, and nothing else is.
    const right = groups.flatMap(({ rewards }) => rewards).filter((r) => r.verdict === Verdict.RIGHT).length;
    const sum = (name: string) => cluster.steps.reduce((n, { metrics }) => n + (metrics[name] ?? 0), 0);
    expect(sum("rft_kept") + sum("rft_too_easy")).toBe(right);
    expect(trainer.state().sequences).toBe(sum("rft_kept"));
    expect(trainer.batches).toEqual([]);
  });

  test("a hint helps to a right judgment, which is learned without it", async () => {
    // Without a hint the model always picks the first response, and never says which is best when that is wrong.
    const respond = (request: GenerateRequest): string => {
      const scores = [1, 2].map((place) => (place === (hintOf(request) || 1) ? 9 : 2));
      return `principles topic 3 critique topic yes no scores ${scores.join(" ")}`;
    };
    await using cluster = await openGrmCluster({
      engine: votingEngine({ respond }),
      prompts: panels(true),
      learner: rft,
    });
    const trainer = createCountingTrainer();
    balanced(12, await (await cluster.startLearner(trainer)).finished);
    const groups = await told(cluster);
    const hinted = groups.filter(({ rollout }) => rollout?.prompt?.hinted);
    expect(hinted).toHaveLength(6);
    // Each is judged once; without a hint the panels are too easy, or all wrong.
    expect(hinted.map(({ rewards }) => rewards.map(({ value }) => value))).toEqual(Array(6).fill([1]));
    const sequences = trainer.imitated.flat();
    expect(sequences).toHaveLength(6);
    // Six panels have six prompts; a hint would have made them longer than their unhinted ones.
    const unhinted = panels().prompt(0).messages[0]?.content.split(" ").length ?? 0;
    for (const { firstTarget } of sequences) expect(firstTarget).toBe(unhinted + 1);
  });

  test("a run that leaves nothing to learn from fails, and exports nothing", async () => {
    const engine = votingEngine({ respond: () => "yes yes yes" });
    await using cluster = await openGrmCluster({ engine, learner: { ...rft, exportEvery: 100 } });
    const trainer = createCountingTrainer();
    await expect((await cluster.startLearner(trainer)).finished).rejects.toThrow(
      expect.objectContaining({
        code: "invalid_argument",
        message: expect.stringContaining(
          "nothing is left to learn from after rejection (12 groups: 12 rejected",
        ),
      }),
    );
    expect(trainer.imitated).toEqual([]);
    expect(existsSync(cluster.options.exportDir)).toBe(false);
  });

  test("data of which nothing is usable ends the run once each item was judged, in an heir's life too", async () => {
    const engine = votingEngine({ respond: () => "yes yes yes" });
    const learner = { ...rft, steps: 50, exportEvery: 100, maxStaleness: 0 };
    await using cluster = await openGrmCluster({
      engine,
      learner,
      prompts: { ...panels(), round: 10 },
    });
    const failure = (groups: number, judgments: number) =>
      expect.objectContaining({
        code: "invalid_argument",
        message: expect.stringContaining(
          `(${groups} groups: ${groups} rejected, 0 without a judgment; of the last ${judgments} judgments ${judgments} unparsable)`,
        ),
      });
    const trainer = createCountingTrainer();
    await expect((await cluster.startLearner(trainer)).finished).rejects.toThrow(failure(12, 36));
    expect(trainer.imitated).toEqual([]);
    expect(cluster.steps).toHaveLength(2);
    // Its last step was not kept, so it is taken again.
    await expect((await cluster.startLearner(createCountingTrainer())).finished).rejects.toThrow(
      failure(12, 36),
    );
  });
});

describe("a learner that dies", () => {
  test.each<[string, Partial<LearnerOptions>]>([
    ["reinforcement", grm],
    ["imitation", rft],
  ])("in the middle of a step, with its connection: %s goes on as if nothing had been", async (_, method) => {
    const learner = { ...method, maxStaleness: 0, steps: 4 };
    const undisturbed = async (): Promise<unknown> => {
      await using cluster = await openGrmCluster({ learner });
      const trainer = createCountingTrainer();
      balanced(16, await (await cluster.startLearner(trainer)).finished);
      return trainer.state();
    };
    await using cluster = await openGrmCluster({ learner });
    const entered = deferred<void>();
    const never = deferred<void>();
    let trained = 0;
    const mortal = createCountingTrainer(async (call) => {
      if (!call.startsWith("step") || ++trained !== 2) return;
      entered.resolve();
      await never.promise;
    });
    const first = await cluster.startLearner(mortal);
    await entered.promise;
    const dying = first.kill();
    never.reject(new Error("killed"));
    await dying;
    const heir = createCountingTrainer();
    balanced(16, await (await cluster.startLearner(heir)).finished);
    expect(heir.state()).toEqual(await undisturbed());
    expect(readdirSync(cluster.options.exportDir).toSorted()).toEqual(["step-2", "step-4"]);
  });
});

describe("a learner that dies as it exports", () => {
  test("makes up for it: no checkpoint of the run is missing", async () => {
    for (let fatal = 0; fatal < 4; fatal++) {
      await using cluster = await openGrmCluster({ learner: { maxStaleness: 0 } });
      let exports = 0;
      const mortal = createCountingTrainer((call) => {
        if (call === "export" && exports++ === fatal) throw new Error("dies");
      });
      const first = await cluster.startLearner(mortal);
      await expect(first.finished).rejects.toThrow("dies");
      await first.kill();
      balanced(12, await (await cluster.startLearner(createCountingTrainer())).finished);
      expect(readdirSync(cluster.options.exportDir).toSorted()).toEqual(["step-2", "step-3"]);
    }
  });
});

describe("collapse", () => {
  /** Judges well until it serves these versions. */
  const spoiltBy = (isSpoilt: (version: number) => boolean): SimulatedEngine => {
    const engine: SimulatedEngine = votingEngine({
      respond: (request) => (isSpoilt(engine.version().number) ? "yes yes yes" : judge(request)),
    });
    return engine;
  };
  const stepOf = (folder: string): number =>
    (JSON.parse(readFileSync(join(folder, "state.json"), "utf8")) as { step: number }).step;

  test("a model that turns to garbage ends its run with one line, and its last good checkpoint is there", async () => {
    await using cluster = await openGrmCluster({
      engine: spoiltBy((version) => version >= 2),
      learner: { maxStaleness: 0, steps: 9, exportEvery: 100 },
    });
    const good = join(cluster.options.exportDir, "step-1");
    const line = `collapsed at step 5: 100 % unparsable; the last good checkpoint is ${good}`;
    const collapse = expect.objectContaining({ code: "failed_precondition", message: line });
    const trainer = createCountingTrainer();
    await expect((await cluster.startLearner(trainer)).finished).rejects.toThrow(collapse);
    // Garbage all of one kind teaches nothing, and what showed the collapse was not even tried.
    expect(trainer.state().step).toBe(2);
    expect(readdirSync(cluster.options.exportDir)).toEqual(["step-1"]);
    expect(stepOf(good)).toBe(1);
    // Resumed, it says the same.
    await expect((await cluster.startLearner(createCountingTrainer())).finished).rejects.toThrow(collapse);
    expect(readdirSync(cluster.options.exportDir)).toEqual(["step-1"]);
  });

  test("one that recovers goes on, and what was kept for the worst is removed at the end", async () => {
    await using cluster = await openGrmCluster({
      engine: spoiltBy((version) => version === 1 || version === 2),
      learner: { maxStaleness: 0, steps: 5, exportEvery: 100 },
    });
    balanced(20, await (await cluster.startLearner(createCountingTrainer())).finished);
    await told(cluster);
    expect(cluster.steps.map(({ metrics }) => metrics.unparsable)).toEqual([0, 1, 1, 0, 0]);
    expect(cluster.steps.map(({ metrics }) => metrics.last_good_version)).toEqual([0, 0, 0, 3, 4]);
    expect(readdirSync(cluster.options.exportDir)).toEqual(["step-5"]);
  });

  test("a policy is not watched", async () => {
    await using cluster = await openLearningCluster({ nats, engines: [votingEngine()] });
    balanced(12, await (await cluster.startLearner(createCountingTrainer())).finished);
    await told(cluster);
    for (const { metrics } of cluster.steps) expect(metrics).not.toHaveProperty("unparsable");
    expect(readdirSync(cluster.options.exportDir).toSorted()).toEqual(["step-2", "step-3"]);
  });
});

test("a rollout whose label no panel can have is a dead letter that names it, and the run goes on", async () => {
  await using cluster = await openGrmCluster();
  const { bus } = cluster.rewards;
  const rollout = Rollout.fromPartial({
    prompt: {
      ...{ runId: cluster.runId, groupId: `${cluster.runId}-g0`, groupSize: 1, maxTokens: 60 },
      label: { responses: 9, kind: { $case: "best", value: 0 } },
    },
    responses: [{ text: "principles" }],
  });
  await bus.enqueue("rollouts", rolloutCodec.encode(rollout), { id: "mislabelled" });
  balanced(12, await (await cluster.startLearner(createCountingTrainer())).finished);
  const letters = await bus.deadLetters({ limit: 10 });
  expect(letters).toMatchObject([
    {
      queue: "rollouts",
      id: "mislabelled",
      reason: expect.stringContaining("rollout.prompt.label.responses"),
    },
  ]);
});
