/**
 * Loads and decisions of the cluster, for whoever asks this process. Load reports are listened to from the first question
 * on, and no longer than a minute after the last one: with many processes they are many.
 */
import type { Bus } from "../bus/bus.js";
import type { Clock, Timer } from "../core/clock.js";
import type { GetScalingRequest, GetScalingResponse, RoleLoad } from "../wire/gen/covote/v1/cluster.js";
import type { LoadBook } from "./load-book.js";
import { type LoadWatch, watchLoads } from "./load-watch.js";
import { readHistory } from "./scaling-history.js";

export interface ScalingView {
  read(request: GetScalingRequest): Promise<GetScalingResponse>;
}

const listenMs = 60_000;
/** The first question waits for the first reports. */
const firstMs = 2500;
const stepMs = 50;
const defaultDecisions = 10;
const mostDecisions = 200;

export function createScalingView(bus: Bus, clock: Clock): ScalingView {
  let watch: LoadWatch | null = null;
  let idle: Timer | undefined;

  const listen = (): LoadWatch => {
    watch ??= watchLoads(bus, clock);
    idle?.cancel();
    const opened = watch;
    idle = clock.after(
      listenMs,
      () => {
        opened.close();
        watch = null;
      },
      { background: true },
    );
    return opened;
  };

  const firstReports = async (book: LoadBook): Promise<void> => {
    const untilMs = clock.monotonic() + firstMs;
    while (roleLoads(book, clock.monotonic()).length === 0 && clock.monotonic() < untilMs) {
      await clock.sleep(stepMs);
    }
  };

  return {
    read: async ({ decisions }) => {
      const { book } = listen();
      await firstReports(book);
      const most = Math.min(mostDecisions, decisions === 0 ? defaultDecisions : decisions);
      const [history, queues] = await Promise.all([readHistory(bus), bus.queueStatus()]);
      return {
        cluster: bus.cluster,
        loads: roleLoads(book, clock.monotonic()),
        decisions: history.slice(-most),
        queues: queues.map(({ queue, ...counts }) => ({ ...counts, stream: queue })),
      };
    },
  };
}

/** Of the roles that somebody reports of. */
function roleLoads(book: LoadBook, nowMs: number): RoleLoad[] {
  const engines = (["policy", "grm", "meta-rm"] as const).map((role): RoleLoad => {
    const {
      utilisation,
      tokensPerS,
      itemsPerS,
      ageMs,
      tokensPerItem: _,
      ...counts
    } = book.engines(role, nowMs);
    return {
      role,
      ...counts,
      utilisation: utilisation ?? undefined,
      tokensPerS: tokensPerS ?? undefined,
      itemsPerS: itemsPerS ?? undefined,
      ageMs: ageMs ?? undefined,
    };
  });
  const judging = book.judging(nowMs);
  const learner = book.learner(nowMs);
  const plain = (
    role: string,
    running: number,
    itemsPerS: number | null,
    ageMs: number | null,
  ): RoleLoad => ({
    ...{ role, running, slots: 0, waiting: 0, utilisation: undefined, tokensPerS: undefined },
    reporters: book.hosts(role === "learner" ? "learner" : "aggregator", nowMs).length,
    itemsPerS: itemsPerS ?? undefined,
    ageMs: ageMs ?? undefined,
  });
  return [
    ...engines,
    plain("aggregator", judging.inFlight, judging.judgmentsPerS, judging.ageMs),
    plain("learner", 0, learner.stepsPerS, learner.ageMs),
  ].filter(({ reporters }) => reporters > 0);
}
