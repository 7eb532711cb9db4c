import { expect, test } from "vitest";
import type { ActorEvent } from "../../lib/actor/actor.js";
import type { BusEvent, QueueStatus } from "../../lib/bus/bus.js";
import { queueNames } from "../../lib/bus/queues.js";
import { createManualClock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import { createEventStream } from "../../lib/core/event-stream.js";
import type { EngineStats } from "../../lib/engine/engine.js";
import { createMetrics } from "../../lib/host/metrics.js";
import { actorMetrics } from "../../lib/runtime/actor-metrics.js";
import { busMetrics } from "../../lib/runtime/bus-metrics.js";
import { engineMetrics } from "../../lib/runtime/engine-metrics.js";
import { modelMetrics } from "../../lib/runtime/model-metrics.js";
import { queueMetrics } from "../../lib/runtime/queue-metrics.js";

const statusOf = (over: Partial<QueueStatus>): QueueStatus => ({
  queue: "ballots",
  stream: "s",
  pending: 0,
  inFlight: 0,
  redelivered: 0,
  deadLetters: 0,
  messages: 0,
  bytes: 0,
  stranded: 0,
  maxMessages: 10,
  maxBytes: 100,
  ...over,
});

test("queues are told as the server counts them, and not at all when it does not answer in time", async () => {
  const clock = createManualClock(0);
  const metrics = createMetrics({ service: "a" });
  let answer: () => Promise<QueueStatus[]> = async () =>
    queueNames.map((queue) => statusOf({ queue, messages: 7, pending: 4, inFlight: 2, stranded: 1 }));
  queueMetrics(metrics, { queueStatus: () => answer() }, clock);
  const told = await metrics.text();
  expect(told).toContain('covote_queue_pending_messages{queue="ballots",service="a"} 4');
  expect(told).toContain('covote_queue_ack_pending_messages{queue="ballots",service="a"} 2');
  expect(told).toContain('covote_queue_stranded_messages{queue="experience",service="a"} 1');

  answer = () => new Promise(() => undefined);
  const late = metrics.text();
  await clock.advance(2000);
  expect(await late).not.toContain("covote_queue_pending_messages{");
  answer = async () => Promise.reject(new CovoteError("unavailable", "NATS is away"));
  expect(await metrics.text()).not.toContain("covote_queue_pending_messages{");
  answer = async () => [statusOf({ pending: 3 })];
  expect(await metrics.text()).toContain('covote_queue_pending_messages{queue="ballots",service="a"} 3');
});

test("an engine that was opened anew does not take back what the old one did", async () => {
  const metrics = createMetrics({ service: "a" });
  let stats: EngineStats = {
    ...{ running: 1, waiting: 2, slots: 8, generatedTokens: 100, promptTokens: 50, busyMs: 4000 },
  };
  engineMetrics(metrics, "grm", { stats: () => stats });
  await metrics.text();
  stats = { ...stats, generatedTokens: 10, promptTokens: 5, busyMs: 500 };
  await metrics.text();
  stats = { ...stats, generatedTokens: 30, promptTokens: 5, busyMs: 1500 };
  const told = await metrics.text();
  expect(told).toContain('covote_engine_tokens_total{role="grm",kind="generated",service="a"} 120');
  expect(told).toContain('covote_engine_busy_seconds_total{role="grm",service="a"} 5');
  expect(told).toContain('covote_engine_waiting{role="grm",service="a"} 2');
});

test("weights are told by number once they serve; a failed exchange leaves the old number", async () => {
  const clock = createManualClock(1_000_000);
  const metrics = createMetrics({ service: "a" });
  const model = modelMetrics(metrics, clock, "policy", 0);
  model.announced({ number: 3 });
  const failing = model.exchange({ number: 3 }, () => Promise.reject(new Error("no memory")));
  await expect(failing).rejects.toThrow("no memory");
  let told = await metrics.text();
  expect(told).toContain('covote_model_version{role="policy",service="a"} 0');
  expect(told).toContain('covote_model_announced_version{role="policy",service="a"} 3');
  expect(told).toContain('covote_model_load_failures_total{role="policy",service="a"} 1');
  await model.exchange({ number: 3 }, async () => undefined);
  told = await metrics.text();
  expect(told).toContain('covote_model_version{role="policy",service="a"} 3');
  expect(told).toContain('covote_model_loaded_timestamp_seconds{role="policy",service="a"} 1000');
  expect(told).toContain('covote_model_load_seconds_count{role="policy",service="a"} 1');
});

test("redeliveries and dead letters are counted by queue, other events of the bus by what they are", async () => {
  const metrics = createMetrics({ service: "a" });
  const events = createEventStream<BusEvent>();
  let status: "connected" | "reconnecting" = "connected";
  busMetrics(metrics, { events, status: () => status });
  events.publish({ type: "redelivery", queue: "ballots", id: "x", deliveryCount: 2 });
  events.publish({ type: "dead-letter", queue: "rollouts", id: "x", reason: "r", deliveryCount: 9 });
  events.publish({ type: "lease-lost", queue: "rollouts", id: "x" });
  status = "reconnecting";
  const told = await metrics.text();
  expect(told).toContain('covote_bus_redeliveries_total{queue="ballots",service="a"} 1');
  expect(told).toContain('covote_dead_letters_total{queue="rollouts",service="a"} 1');
  expect(told).toContain('covote_dead_letters_total{queue="prompts",service="a"} 0');
  expect(told).toContain('covote_bus_events_total{event="lease_lost",service="a"} 1');
  expect(told).toContain('covote_bus_connected{service="a"} 0');
});

test("failures, restarts and dead letters of actors are counted", async () => {
  const metrics = createMetrics({ service: "a" });
  const events = createEventStream<ActorEvent>();
  actorMetrics(metrics, { events, size: 3 });
  events.publish({ type: "failed", path: "/user/x", cause: new Error("x") });
  events.publish({ type: "restarted", path: "/user/x", restarts: 1, cause: new Error("x") });
  events.publish({ type: "dead-letter", path: "/user/x", message: {}, reason: "stopped" });
  const told = await metrics.text();
  expect(told).toContain('covote_actor_failures_total{service="a"} 1');
  expect(told).toContain('covote_actor_restarts_total{service="a"} 1');
  expect(told).toContain('covote_actor_dead_letters_total{reason="stopped",service="a"} 1');
  expect(told).toContain('covote_actors{service="a"} 3');
});
