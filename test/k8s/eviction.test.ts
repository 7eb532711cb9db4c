/** A worker is drained from its node while it votes: nothing that was accepted is lost, and nothing counts twice. */
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { packagePath } from "../../lib/core/package-root.js";
import { createGrpcClient, type GrpcClient } from "../../lib/host/grpc-client.js";
import { NullReason } from "../../lib/wire/gen/covote/v1/common.js";
import { RewardServiceService, type ScoreResponse } from "../../lib/wire/gen/covote/v1/reward.js";
import { startNats, type TestNats } from "../support/nats.js";
import { judgmentOf, reasons } from "../support/reward-calls.js";
import { scoreRequest } from "../support/reward-cluster.js";
import {
  type ControlPlane,
  createNamespace,
  createNodes,
  freePorts,
  refusal,
  startControlPlane,
} from "./support/control-plane.js";
import { installCovote } from "./support/helm.js";
import { openInstalled, runSteward } from "./support/installed.js";
import { eventually } from "./support/kube.js";
import type { PodProcesses } from "./support/pod-processes.js";
import { eviction, isReady, paths } from "./support/workloads.js";

const namespace = "covote";
const selector = "app.kubernetes.io/component=grm-worker";
const votes = 4;
let plane: ControlPlane;
let nats: TestNats;
let steward: PodProcesses;
let aggregator: PodProcesses;
let pods: PodProcesses;
let client: GrpcClient;

beforeAll(async () => {
  plane = await startControlPlane();
  nats = await startNats();
  // As many GPUs as workers: a replacement has to wait for the GPU that its predecessor still votes on.
  await createNodes(plane.kube, { count: 3, gpus: 1 });
  await createNodes(plane.kube, { count: 1, gpus: 0 });
  await createNamespace(plane.kube, namespace);
  // The workers alone have GPUs here: enough to see one drained.
  const off = ["policySampler", "metaRm", "coScaler", "grpoLearner"].map((key) => `${key}.enabled=false`);
  const set = [...off, "config.metaRm.keep=0", "voteAggregator.replicas=1"];
  await installCovote(plane, { namespace, natsUrl: nats.url, args: ["--set", set.join(",")] });
  const installed = await openInstalled(plane, { namespace, natsUrl: nats.url });
  const [grpcPort] = (await freePorts(1)) as [number];
  steward = await runSteward(installed);
  aggregator = await installed.run("vote-aggregator", {
    change: ({ grpc }) => {
      grpc.address = `127.0.0.1:${grpcPort}`;
    },
  });
  pods = await installed.run("grm-worker", {
    main: packagePath("dist", "test", "k8s", "support", "simulated-grm-worker.js"),
  });
  client = createGrpcClient({ address: `127.0.0.1:${grpcPort}`, what: "reward service" });
  await eventually(
    "three workers run",
    () => pods.living().length,
    (count) => count === 3,
  );
  await eventually(
    "a first reward",
    () => score(0),
    (answer) => reasons(answer).every((reason) => reason === NullReason.UNSPECIFIED),
  );
});
afterAll(async () => {
  client?.close();
  await pods?.[Symbol.asyncDispose]();
  await aggregator?.[Symbol.asyncDispose]();
  await steward?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

/** Another group each, so that no answer is kept from an earlier call. */
function score(n: number): Promise<ScoreResponse> {
  const request = scoreRequest({ requestId: `drain-${n}`, options: { seed: n } });
  return client.unary(RewardServiceService.score, request);
}

test("two pods are evicted under load: both drain, and every call gets its votes", async () => {
  const { kube } = plane;
  const answers: ScoreResponse[] = [];
  const failures: string[] = [];
  let calling = true;
  let next = 1;
  const caller = async (): Promise<void> => {
    while (calling) {
      await score(next++).then(
        (answer) => answers.push(answer),
        (error: Error) => {
          failures.push(error.message);
          calling = false;
        },
      );
    }
  };
  const callers = Array.from({ length: 12 }, caller);
  onTestFinished(() => {
    calling = false;
  });
  await eventually(
    "the load runs",
    () => answers.length,
    (count) => count >= 24,
  );

  const ready = async () => (await kube.list(paths.pods(namespace, selector))).filter(isReady);
  for (const round of [1, 2]) {
    const [victim, other] = await eventually("three are ready", ready, (seen) => seen.length === 3);
    const allowed = await eventually(
      "the budget allows one",
      () => kube.get(`${paths.budgets(namespace)}/covote-grm-worker`),
      ({ status }) => status?.disruptionsAllowed === 1,
    );
    expect(allowed.status.expectedPods).toBe(3);
    await kube.create(paths.eviction(namespace, victim!.metadata.name), eviction(victim!));
    // The budget counts pods that are on their way out.
    const second = await refusal(
      kube.create(paths.eviction(namespace, other!.metadata.name), eviction(other!)),
    );
    expect(second.status).toBe(429);
    const process = pods.all.get(victim!.metadata.name);
    await eventually(
      "its process has ended",
      () => process?.end,
      (end) => end !== null,
    );
    expect(process?.end, `round ${round}`).toMatchObject({ code: 0, killed: false });
    const seen = answers.length;
    await eventually(
      "the others go on",
      () => answers.length,
      (count) => count >= seen + 24,
    );
  }
  await eventually(
    "the replacements run",
    () => pods.living().length,
    (count) => count === 3,
  );
  calling = false;
  await Promise.all(callers);

  expect(failures).toEqual([]);
  expect(answers.length).toBe(next - 1);
  expect(new Set(answers.map((answer) => answer.judgmentId)).size).toBe(answers.length);
  const workers = new Set<string>();
  for (const answer of answers) {
    expect(answer.partial).toBe(false);
    expect(reasons(answer)).toEqual(answer.rewards.map(() => NullReason.UNSPECIFIED));
    for (const reward of answer.rewards)
      expect([reward.votesUsable, reward.votesKept]).toEqual([votes, votes]);
    const judgment = await judgmentOf({ client }, answer.judgmentId);
    expect(judgment.votes.map((vote) => vote.nullReason)).toEqual(Array(votes).fill(NullReason.UNSPECIFIED));
    expect(new Set(judgment.votes.map((vote) => vote.voteId)).size).toBe(votes);
    for (const vote of judgment.votes) workers.add(vote.worker);
  }
  const evicted = [...pods.all.values()].filter(({ end }) => end !== null);
  expect(evicted).toHaveLength(2);
  for (const { pod, end } of evicted) {
    // It was voting when it was told to end, and took the time that its votes needed.
    expect([...workers].some((worker) => worker.includes(pod))).toBe(true);
    console.log(`${pod}: drained in ${Math.round(end!.afterMs)} ms`);
  }
  console.log(
    `${answers.length} calls, ${answers.length * votes} votes by ${workers.size} workers; none lost`,
  );
});
