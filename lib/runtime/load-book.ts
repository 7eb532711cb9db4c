/**
 * What is known about the load of a cluster, from its reports. Without I/O: reports and times in, figures out.
 *
 * - A report that repeats or overtakes another one of its reporter changes nothing; one with figures that are none (NaN,
 *   below zero) or of an unknown layout is refused; whoever gave it is told.
 * - Sums that shrink within one life are a reset: what came before is forgotten, nothing negative is ever a rate.
 * - A lost report makes figures older. What nobody reports is null, never 0; who was silent too long counts no more.
 * - Bounded: so many reporters, so many reports of each.
 */
import type { EngineLoad, LoadReport } from "../wire/gen/covote/v1/scaling.js";
import { type LoadRole, loadLayout, loadRoles } from "./load-reports.js";

export type Taken = "taken" | "repeated" | "refused" | "reset";

export interface RoleFigures {
  /** That have reported lately. */
  reporters: number;
  slots: number;
  running: number;
  waiting: number;
  /** Share of the slots taken, 0..1. */
  utilisation: number | null;
  /** Of one reporter, idle time included; of a meta RM, tokens read. Mean over the reporters. */
  tokensPerS: number | null;
  itemsPerS: number | null;
  tokensPerItem: number | null;
  /** Of the newest report, in milliseconds. */
  ageMs: number | null;
}

export interface HostLoad {
  host: string;
  running: number;
  waiting: number;
  ageMs: number;
}

export interface JudgingFigures {
  inFlight: number;
  votesInForce: number | null;
  judgmentsPerS: number | null;
  votesPerResponse: number | null;
  /** Votes on every response that judgments asked for. */
  meanVotes: number | null;
  metaScoresPerVote: number | null;
  ageMs: number | null;
}

export interface LearnerFigures {
  responsesPerStep: number | null;
  stepMs: number | null;
  /** Share of its time that the learner waited, 0..1. */
  waiting: number | null;
  stepsPerS: number | null;
  ageMs: number | null;
}

export interface LoadBook {
  take(report: LoadReport, nowMs: number): Taken;
  engines(role: "policy" | "grm" | "meta-rm", nowMs: number): RoleFigures;
  judging(nowMs: number): JudgingFigures;
  learner(nowMs: number): LearnerFigures;
  /** Processes of a role that have reported lately. */
  hosts(role: LoadRole, nowMs: number): HostLoad[];
}

export interface LoadBookOptions {
  /** Who was silent for so long, and for five of its intervals, counts no more. Milliseconds. */
  silentMs?: number;
  /** Over which rates are taken, per kind of report. Milliseconds. */
  windowsMs?: { engine: number; judging: number; learner: number };
  maxReporters?: number;
}

interface Sample {
  atMs: number;
  report: LoadReport;
}

interface Reporter {
  role: LoadRole;
  sequence: number;
  /** Oldest first; the last one is the newest. */
  samples: Sample[];
}

const samplesKept = 16;
const defaultWindows = { engine: 60_000, judging: 300_000, learner: 900_000 };

export function createLoadBook(options: LoadBookOptions = {}): LoadBook {
  const { silentMs = 10_000, windowsMs = defaultWindows, maxReporters = 8192 } = options;
  const reporters = new Map<string, Reporter>();

  const windowOf = (role: LoadRole): number =>
    role === "learner" ? windowsMs.learner : role === "aggregator" ? windowsMs.judging : windowsMs.engine;
  const newest = ({ samples }: Reporter): Sample => samples.at(-1) as Sample;
  const isLate = (reporter: Reporter, nowMs: number): boolean => {
    const { atMs, report } = newest(reporter);
    return nowMs - atMs > Math.max(silentMs, 5 * report.intervalMs);
  };
  const live = (role: LoadRole, nowMs: number): Reporter[] =>
    [...reporters.values()].filter((reporter) => reporter.role === role && !isLate(reporter, nowMs));
  const forget = (nowMs: number): void => {
    for (const [name, reporter] of reporters) if (isLate(reporter, nowMs)) reporters.delete(name);
  };

  const take = (report: LoadReport, nowMs: number): Taken => {
    if (!isSound(report)) return "refused";
    let reporter = reporters.get(report.reporter);
    if (reporter === undefined) {
      if (reporters.size >= maxReporters) forget(nowMs);
      if (reporters.size >= maxReporters) return "refused";
      reporter = { role: report.role as LoadRole, sequence: 0, samples: [] };
      reporters.set(report.reporter, reporter);
    }
    if (report.role !== reporter.role) return "refused";
    if (report.sequence <= reporter.sequence) return "repeated";
    reporter.sequence = report.sequence;
    const last = reporter.samples.at(-1);
    const isReset =
      last !== undefined && sumsOf(report).some((sum, i) => sum < (sumsOf(last.report)[i] ?? 0));
    if (isReset) reporter.samples = [];
    keep(reporter.samples, { atMs: nowMs, report }, windowOf(reporter.role));
    return isReset ? "reset" : "taken";
  };

  return {
    take,
    engines: (role, nowMs) => engineFigures(live(role, nowMs), role === "meta-rm", nowMs),
    judging: (nowMs) => judgingFigures(live("aggregator", nowMs), nowMs),
    learner: (nowMs) => learnerFigures(live("learner", nowMs), nowMs),
    hosts: (role, nowMs) =>
      live(role, nowMs).map((reporter) => {
        const { atMs, report } = newest(reporter);
        const { running = 0, waiting = 0 } = report.engine ?? {};
        return { host: report.host, running, waiting, ageMs: nowMs - atMs };
      }),
  };
}

/** Keeps the newest, and older ones far enough apart to span the window. */
function keep(samples: Sample[], sample: Sample, windowMs: number): void {
  const before = samples.at(-2);
  if (before !== undefined && sample.atMs - before.atMs < windowMs / (samplesKept - 2)) samples.pop();
  samples.push(sample);
  while (samples.length > samplesKept) samples.shift();
  while (samples.length > 2 && sample.atMs - (samples[1] as Sample).atMs >= windowMs) samples.shift();
}

function isSound({ layout, role, reporter, sequence, intervalMs, ...loads }: LoadReport): boolean {
  if (layout !== loadLayout || !(loadRoles as readonly string[]).includes(role)) return false;
  if (reporter === "" || sequence < 1 || !(intervalMs > 0 && intervalMs <= 3_600_000)) return false;
  return [loads.engine, loads.judging, loads.learner].every(
    (load) =>
      load === undefined ||
      Object.values(load).every((value) => Number.isFinite(value) && Number(value) >= 0),
  );
}

function sumsOf({ engine, judging, learner }: LoadReport): number[] {
  const sums: number[] = [];
  if (engine !== undefined) {
    const { upMs, busyMs, slotMs, generatedTokens, promptTokens, items, itemTokens } = engine;
    sums.push(upMs, busyMs, slotMs, generatedTokens, promptTokens, items, itemTokens);
  }
  if (judging !== undefined)
    sums.push(judging.judgments, judging.responses, judging.votes, judging.metaScores, judging.askedVotes);
  if (learner !== undefined)
    sums.push(learner.steps, learner.responses, learner.trainingMs, learner.waitingMs);
  return sums;
}

/** How much sums have grown between the oldest and the newest report, over all reporters; and over what time, of one. */
function growth<L>(
  reporters: readonly Reporter[],
  loadOf: (report: LoadReport) => L | undefined,
): { grown(pick: (load: L) => number): number; spanMs: number } {
  const pairs = reporters.flatMap(({ samples }) => {
    const [first, last] = [samples[0], samples.at(-1)];
    if (first === undefined || last === undefined) return [];
    const [from, to] = [loadOf(first.report), loadOf(last.report)];
    return from === undefined || to === undefined ? [] : [{ from, to, spanMs: last.atMs - first.atMs }];
  });
  return {
    grown: (pick) => pairs.reduce((sum, { from, to }) => sum + pick(to) - pick(from), 0),
    spanMs: Math.max(0, ...pairs.map(({ spanMs }) => spanMs)),
  };
}

const engineOf = ({ engine }: LoadReport): EngineLoad | undefined => engine;

function ratio(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null;
}

function ageOf(reporters: readonly Reporter[], nowMs: number): number | null {
  if (reporters.length === 0) return null;
  return Math.min(...reporters.map(({ samples }) => nowMs - (samples.at(-1) as Sample).atMs));
}

function engineFigures(reporters: readonly Reporter[], reads: boolean, nowMs: number): RoleFigures {
  const latest = reporters.flatMap(({ samples }) => samples.at(-1)?.report.engine ?? []);
  const total = (pick: (load: EngineLoad) => number): number =>
    latest.reduce((sum, load) => sum + pick(load), 0);
  const all = growth(reporters, engineOf);
  const tokens = (load: EngineLoad): number => (reads ? load.promptTokens : load.generatedTokens);
  const speeds = reporters.flatMap((reporter) => {
    const own = growth([reporter], engineOf);
    return ratio(own.grown(tokens), own.grown((load) => load.upMs) / 1000) ?? [];
  });
  const slotTime = all.grown((load) => load.slots * load.upMs);
  const share = ratio(
    all.grown((load) => load.slotMs),
    slotTime,
  );
  const items = all.grown((load) => load.items);
  return {
    reporters: reporters.length,
    slots: total((load) => load.slots),
    running: total((load) => load.running),
    waiting: total((load) => load.waiting),
    utilisation: share === null ? null : Math.min(1, share),
    tokensPerS: ratio(
      speeds.reduce((sum, speed) => sum + speed, 0),
      speeds.length,
    ),
    itemsPerS: ratio(items, all.spanMs / 1000),
    tokensPerItem: ratio(
      all.grown((load) => (reads ? load.promptTokens : load.itemTokens)),
      items,
    ),
    ageMs: ageOf(reporters, nowMs),
  };
}

function judgingFigures(reporters: readonly Reporter[], nowMs: number): JudgingFigures {
  const { grown, spanMs } = growth(reporters, ({ judging }) => judging);
  const latest = reporters.flatMap(({ samples }) => samples.at(-1)?.report.judging ?? []);
  const votes = grown((load) => load.votes);
  const inForce = latest.map((load) => load.votesInForce).filter((count) => count > 0);
  return {
    inFlight: latest.reduce((sum, load) => sum + load.inFlight, 0),
    votesInForce: inForce.length === 0 ? null : Math.max(...inForce),
    judgmentsPerS: ratio(
      grown((load) => load.judgments),
      spanMs / 1000,
    ),
    votesPerResponse: ratio(
      votes,
      grown((load) => load.responses),
    ),
    meanVotes: ratio(
      grown((load) => load.askedVotes),
      grown((load) => load.responses),
    ),
    metaScoresPerVote: ratio(
      grown((load) => load.metaScores),
      votes,
    ),
    ageMs: ageOf(reporters, nowMs),
  };
}

function learnerFigures(reporters: readonly Reporter[], nowMs: number): LearnerFigures {
  const { grown, spanMs } = growth(reporters, ({ learner }) => learner);
  const steps = grown((load) => load.steps);
  const training = grown((load) => load.trainingMs);
  const waiting = grown((load) => load.waitingMs);
  return {
    responsesPerStep: ratio(
      grown((load) => load.responses),
      steps,
    ),
    stepMs: ratio(training, steps),
    waiting: ratio(waiting, waiting + training),
    stepsPerS: ratio(steps, spanMs / 1000),
    ageMs: ageOf(reporters, nowMs),
  };
}
