/** The thread behind `client.ts`: makes Score calls as it is told. */
import { workerData } from "node:worker_threads";
import { createRandom } from "../lib/core/random.js";
import { createGrpcClient } from "../lib/host/grpc-client.js";
import { RewardServiceService } from "../lib/wire/gen/covote/v1/reward.js";
import type { ClientCommand, Task, TaskResult } from "./client.js";
import { closedLoop, createLatencies, openLoop } from "./load.js";
import { scoreRequest } from "./score-request.js";
import { answerCalls } from "./thread.js";

const callTimeoutMs = 60_000;
const { address } = workerData as { address: string };
const client = createGrpcClient({ address, what: "reward service" });
let stopping = new AbortController();

async function run(task: Task): Promise<TaskResult> {
  await client.connected(5000);
  const random = createRandom(task.seed);
  const latencies = new Map<string, number>();
  const delays = createLatencies();
  const stop = stopping.signal;
  let votes = 0;
  let nulls = 0;
  const ask = async (dueMs: number | null): Promise<void> => {
    const request = scoreRequest(random, task.shape);
    const calledMs = performance.now();
    const answer = await client.unary(RewardServiceService.score, request, { timeoutMs: callTimeoutMs });
    if (dueMs !== null) {
      latencies.set(request.requestId, performance.now() - calledMs);
      delays.record(calledMs - dueMs);
    }
    const without = answer.rewards.filter((reward) => reward.value === undefined).length;
    nulls += without;
    if (without === 0) votes += answer.cost?.votes ?? 0;
  };
  const { calls: count } = task;
  const { seconds } =
    task.t === "closed"
      ? await closedLoop({ inFlight: task.inFlight, count, stop }, () => ask(null))
      : await openLoop({ perS: task.perS, count, random }, (_, dueMs) => ask(dueMs));
  const delayMs = { p50: delays.percentile(50), p99: delays.percentile(99) };
  return { seconds, votes, nulls, latencies, delayMs };
}

answerCalls<ClientCommand, unknown>(async (command) => {
  if (command.t === "stop") return stopping.abort();
  stopping = new AbortController();
  return run(command.task);
});
