/**
 * `covote train`: one training run on a cluster of its own, from measuring before to the report.
 *
 *     prepare → measure before → train → measure after → summary, report
 *
 * A run that was interrupted is resumed from its folder: same step, optimiser state and ledger.
 */

import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Clock, systemClock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { createLogger } from "../../lib/host/log.js";
import { type LedgerCounts, StepFinished } from "../../lib/wire/gen/covote/v1/learning.js";
import { stepEvents } from "../../services/grpo-learner/learner.js";
import { readEvent } from "../../services/grpo-learner/resume-state.js";
import type { Cluster } from "../cluster/cluster.js";
import { openProcessCluster } from "../cluster/many-processes.js";
import { openClusterNats } from "../cluster/nats.js";
import { openOneProcessCluster } from "../cluster/one-process.js";
import type { Display } from "../run/display.js";
import type { StepRecord, Summary } from "../run/records.js";
import { hasBegun, type RunFolder } from "../run/run-folder.js";
import { tlsOfConfig } from "../tls-options.js";
import { createGauge, type Measurement } from "./measure.js";
import { toStepRecord } from "./step-record.js";
import { summarise } from "./summarise.js";
import { type World, worldOf } from "./world.js";

export interface TrainOptions {
  /** With `run.dir` set to the run's folder. */
  config: CovoteConfig;
  folder: RunFolder;
  /** Every service a process of its own. */
  processes: boolean;
  display: Display;
  /** Aborted by SIGINT and SIGTERM: stop in order; the run can be resumed. */
  signal: AbortSignal;
  env: Readonly<Record<string, string | undefined>>;
  startedAtMs: number;
  /** What a user types to go on with the run, without its folder: `covote train --resume`. */
  resumeCommand: string;
}

export interface TrainResult {
  summary: Summary;
  before: Measurement | null;
  after: Measurement | null;
  queries: number;
}

export async function train(options: TrainOptions): Promise<TrainResult> {
  const { config, folder, display } = options;
  const clock = systemClock();
  const log = createLogger({
    name: "covote",
    level: config.log.level,
    destination: folder.file("logs", "covote.log"),
  });
  display.begin("preparing", "starting nats-server and services");
  const nats = await openClusterNats({ config, dataDir: folder.file("nats"), env: options.env, clock, log });
  try {
    const clusterOptions = { config, natsUrl: nats.url, clock, log, env: options.env };
    const cluster = options.processes
      ? await openProcessCluster({ ...clusterOptions, dir: folder.path })
      : await openOneProcessCluster(clusterOptions);
    try {
      const running = run({ ...options, cluster, clock });
      return await Promise.race([running, cluster.failed, nats.failed, stopped(options.signal)]);
    } finally {
      await cluster.stop();
    }
  } catch (thrown) {
    throw resumable(thrown, folder, options.resumeCommand);
  } finally {
    await nats.stop();
    log.flush();
    if (nats.own && existsSync(folder.file("summary.json"))) {
      rmSync(folder.file("nats"), { recursive: true, force: true });
    }
  }
}

interface Running extends TrainOptions {
  cluster: Cluster;
  clock: Clock;
}

async function run(running: Running): Promise<TrainResult> {
  const { config, folder, display, cluster, clock } = running;
  const world = config.training.role === "policy" ? worldOf(config.training.prompts) : null;
  const gauge = world === null ? null : createGauge(cluster, config, world, clock, await tlsOfConfig(config));
  try {
    display.begin("evaluating before", "");
    const before = await measureBefore(folder, () => gauge?.measure(display.progress) ?? null);
    if (before !== null) display.detail(utilityLine(before, world));

    display.begin("training", "");
    const trainingStartedAt = clock.monotonic();
    const earlierS = folder.records().at(-1)?.time_s ?? 0;
    const ledger = await trainToEnd(running, world, trainingStartedAt, earlierS);
    const trainingS = earlierS + (clock.monotonic() - trainingStartedAt) / 1000;

    display.begin("evaluating after", "");
    await gauge?.serves(`${folder.name}-policy-${config.training.steps}`, 30_000);
    const after = (await gauge?.measure(display.progress)) ?? null;
    if (after !== null) display.detail(utilityLine(after, world));

    const summary = await summarise({
      config,
      bus: cluster.bus,
      records: folder.records(),
      ledger,
      before,
      after,
      seconds: { total: earlierS + (clock.now() - running.startedAtMs) / 1000, training: trainingS },
    });
    folder.writeSamples({ before: before?.cards ?? [], after: after?.cards ?? [] });
    folder.writeSummary(summary);
    await folder.writeReport();
    return { summary, before, after, queries: world?.heldOut.length ?? 0 };
  } finally {
    gauge?.close();
  }
}

/** Measured once: a resumed run keeps the figures of its start. */
async function measureBefore(
  folder: RunFolder,
  measure: () => Promise<Measurement> | null,
): Promise<Measurement | null> {
  const path = folder.file("before.json");
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8")) as Measurement;
  const measured = await measure();
  if (measured !== null) writeFileSync(path, JSON.stringify(measured));
  return measured;
}

/**
 * Follows the learner to its end; resolves with the ledger of the last step. Events that got lost while NATS was
 * away are read from where the learner keeps them.
 */
async function trainToEnd(
  { cluster, folder, display, clock, config }: Running,
  world: World | null,
  startedAt: number,
  earlierS: number,
): Promise<LedgerCounts> {
  const { steps } = config.training;
  let ledger: LedgerCounts | undefined;
  const lastStep = (): number => folder.records().at(-1)?.step ?? 0;
  const take = (event: StepFinished): void => {
    const timeS = earlierS + (clock.monotonic() - startedAt) / 1000;
    const record: StepRecord = toStepRecord(event, world, timeS);
    if (folder.append(record)) display.step(record);
    if (event.step >= steps) ledger = event.ledger;
  };
  const catchUp = async (toStep: number): Promise<void> => {
    for (let step = lastStep() + 1; step <= toStep; step++) {
      const kept = await readEvent(folder.file("state"), step);
      if (kept !== null) take(StepFinished.decode(kept));
    }
  };
  let taking: Promise<void> = Promise.resolve();
  const onStep = (data: Uint8Array): Promise<void> => {
    const event = StepFinished.decode(data);
    if (event.runId !== folder.name) return taking;
    taking = taking.then(async () => {
      if (event.step > lastStep() + 1) await catchUp(event.step - 1);
      take(event);
    });
    return taking;
  };
  const events = cluster.bus.subscribe(cluster.bus.subjects.events(stepEvents), {}, onStep);
  await cluster.bus.flush();
  try {
    const learner = await cluster.startLearner();
    await learner.finished;
    await cluster.bus.flush();
  } finally {
    await events.drain();
  }
  await catchUp(steps);
  if (ledger === undefined) {
    const last = await readEvent(folder.file("state"), steps);
    if (last !== null) take(StepFinished.decode(last));
  }
  if (ledger === undefined) {
    throw new CovoteError("internal", "the run ended without the event of its last step");
  }
  return ledger;
}

/**
 * What ended a run from outside does not end it for good. `unavailable` and `failed_precondition` become
 * `cancelled`: the run had begun, and its exit code must not say that it could not start.
 */
export function resumable(
  thrown: unknown,
  folder: Pick<RunFolder, "records" | "file" | "path">,
  resumeCommand: string,
): unknown {
  if (!(thrown instanceof CovoteError) || !hasBegun(folder)) return thrown;
  const { code, message } = thrown;
  // Resumed it would come to the same end.
  if (code === "failed_precondition") return new CovoteError("cancelled", message, { cause: thrown });
  if (code !== "cancelled" && code !== "unavailable") return thrown;
  return new CovoteError("cancelled", `${message}; go on with ${resumeCommand} ${folder.path}`, {
    cause: thrown,
  });
}

/** Rejects at the signal; never resolves. */
function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(new CovoteError("cancelled", "stopped"));
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
  });
}

function utilityLine(measured: Measurement, world: World | null): string {
  return `oracle utility ${measured.utility.toFixed(3)} on ${world?.heldOut.length ?? 0} held-out queries`;
}
