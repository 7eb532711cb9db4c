/**
 * The GRM workers of this machine, so many as they are asked to be: new ones are started behind the last, and the last
 * ones are stopped first, which drains them. Nobody waits for either; `state` tells.
 */
import type { Logger } from "../../lib/core/logger.js";
import type { PoolState } from "../../services/co-scaler/actuator.js";

export interface LocalMember {
  readonly ready: Promise<unknown>;
  /** Finishes what it has accepted. Idempotent. */
  stop(): Promise<void>;
}

export interface LocalPool {
  state(): PoolState;
  resize(to: number): void;
  stop(): Promise<void>;
}

export interface LocalPoolOptions {
  /** Those that run already. */
  members: readonly LocalMember[];
  /** Starts the n-th since the beginning, counted from 1. */
  start(n: number): LocalMember;
  log: Logger;
}

interface Seat {
  member: LocalMember;
  isReady: boolean;
}

export function createLocalPool({ members, start, log }: LocalPoolOptions): LocalPool {
  const seats: Seat[] = [];
  const draining = new Map<Seat, Promise<void>>();
  let born = members.length;
  let stopped = false;

  const take = (member: LocalMember): void => {
    const seat: Seat = { member, isReady: false };
    seats.push(seat);
    member.ready.then(
      () => {
        seat.isReady = true;
      },
      (error: unknown) => {
        // It holds nothing, and the next decision starts another one.
        log.warn({ error }, "a worker could not be started");
        const at = seats.indexOf(seat);
        if (at >= 0) seats.splice(at, 1);
      },
    );
  };
  const drain = (seat: Seat): void => {
    const gone = seat.member
      .stop()
      .catch((error: unknown) => log.warn({ error }, "a worker could not be stopped in order"))
      .finally(() => draining.delete(seat));
    draining.set(seat, gone);
  };
  for (const member of members) take(member);

  return {
    state: () => ({
      wanted: seats.length,
      ready: seats.filter(({ isReady }) => isReady).length,
      present: seats.length + draining.size,
    }),
    resize: (to) => {
      if (stopped) return;
      while (seats.length > to) drain(seats.pop() as Seat);
      while (seats.length < to) take(start(++born));
    },
    stop: async () => {
      stopped = true;
      while (seats.length > 0) drain(seats.pop() as Seat);
      await Promise.all(draining.values());
    },
  };
}
