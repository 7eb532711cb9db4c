/**
 * How many ballots a worker takes, and whether it takes any.
 *
 * - There is room for another ballot as long as the engine has a free slot, counted in votes: a ballot of which
 *   one slow vote is left holds one slot, not a ballot's worth of them.
 * - An engine that is gone takes nothing: a worker that fails at once is always free, and would draw the ballots
 *   that others could serve. After a growing pause it tries one; when that goes well it takes what it can.
 */
import type { Bus, WorkItem, WorkLoop } from "../../lib/bus/bus.js";
import type { Clock, Timer } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import type { Logger } from "../../lib/core/logger.js";

export interface BallotIntake {
  /** So many more votes run in the engine, or fewer. */
  votesRunning(change: number): void;
  engineFailed(): void;
  engineServed(): void;
  drain(deadline: Deadline): Promise<void>;
}

export interface BallotIntakeOptions {
  bus: Bus;
  clock: Clock;
  log: Logger;
  /** Votes that the engine runs side by side, now. */
  slots: () => number;
  /** Votes that a ballot is expected to carry. */
  votesPerBallot: number;
  handle: (item: WorkItem) => Promise<void>;
  /** Told when the engine goes and when it serves again. */
  available?(is: boolean): void;
}

const firstPauseMs = 100;
const pauseGrowth = 1.5;
const longestPauseMs = 5000;
/** In-flight votes of an engine that is gone fail at once; one that hangs is not waited for longer. */
const abandonMs = 60_000;

export function openBallotIntake(options: BallotIntakeOptions): BallotIntake {
  const { bus, clock, log, slots, votesPerBallot, handle } = options;
  let votes = 0;
  let pauseMs = firstPauseMs;
  let pausing: Timer | null = null;
  let probing = false;
  let stopped = false;

  const ballotsFor = (room: number): number => Math.ceil(Math.max(0, room) / Math.max(1, votesPerBallot));
  const open = (): WorkLoop =>
    bus.work("ballots", { concurrency: probing ? 1 : ballotsFor(slots()) }, handle);
  let loop = open();
  const makeRoom = (): void => {
    if (pausing !== null || probing || stopped) return;
    loop.resize(Math.max(1, loop.inFlight() + ballotsFor(slots() - votes)));
  };

  return {
    votesRunning: (change) => {
      votes += change;
      makeRoom();
    },
    engineFailed: () => {
      if (pausing !== null || stopped) return;
      log.warn({ pause_ms: pauseMs }, "the engine is not available; no ballots are taken for a while");
      options.available?.(false);
      const failing = loop;
      // Draining ends what it has asked for and gives back what it has not begun.
      void failing.drain(abandonMs);
      pausing = clock.after(pauseMs, () => {
        pausing = null;
        probing = true;
        loop = open();
      });
      pauseMs = Math.min(longestPauseMs, pauseMs * pauseGrowth);
    },
    engineServed: () => {
      pauseMs = firstPauseMs;
      if (!probing) return;
      probing = false;
      options.available?.(true);
      log.info({}, "the engine serves again");
      makeRoom();
    },
    drain: async (deadline) => {
      stopped = true;
      pausing?.cancel();
      await loop.drain(deadline.remainingMs());
    },
  };
}
