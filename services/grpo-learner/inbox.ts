/**
 * Judged groups that wait for their step.
 *
 * - A group's delivery is held open, unacknowledged, until `settle` says that its end is on disk; a repeated
 *   delivery joins the first.
 * - A group stays although its delivery is lost (the server gave it to somebody else, or went away): it is
 *   delivered again, and joins itself.
 */
import { type Deferred, deferred } from "../../lib/core/deferred.js";
import type { Experience } from "../../lib/wire/gen/covote/v1/policy.js";

export interface Inbox {
  /** Resolves when the group is settled; rejects when the signal aborts before. */
  put(groupId: string, experience: Experience, signal: AbortSignal): Promise<void>;
  /**
   * The groups of one step, in this order, as soon as each of them is here or has ended without coming;
   * rejects with the signal's reason.
   */
  take(
    groupIds: readonly string[],
    hasEnded: (groupId: string) => boolean,
    signal: AbortSignal,
  ): Promise<[groupId: string, experience: Experience][]>;
  /** A group has ended without coming: look again. */
  wake(): void;
  /** The group is here, or is being trained on. */
  holds(groupId: string): boolean;
  settle(groupIds: readonly string[]): void;
}

export function createInbox(): Inbox {
  const waiting = new Map<string, Experience>();
  const unsettled = new Map<string, Deferred<void>[]>();
  let arrived = deferred<void>();
  const wake = (): void => {
    arrived.resolve();
    arrived = deferred<void>();
  };

  return {
    put: async (groupId, experience, signal) => {
      const settled = deferred<void>();
      const known = unsettled.get(groupId);
      if (known === undefined) {
        unsettled.set(groupId, [settled]);
        waiting.set(groupId, experience);
        wake();
      } else known.push(settled);
      const lost = (): void => settled.reject(signal.reason);
      if (signal.aborted) lost();
      signal.addEventListener("abort", lost, { once: true });
      try {
        await settled.promise;
      } finally {
        signal.removeEventListener("abort", lost);
      }
    },
    take: async (groupIds, hasEnded, signal) => {
      const complete = (): boolean => groupIds.every((id) => waiting.has(id) || hasEnded(id));
      const stopped = deferred<never>();
      const stop = (): void => stopped.reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      try {
        signal.throwIfAborted();
        while (!complete()) await Promise.race([arrived.promise, stopped.promise]);
        return groupIds.flatMap((id): [string, Experience][] => {
          const experience = waiting.get(id);
          waiting.delete(id);
          return experience === undefined ? [] : [[id, experience]];
        });
      } finally {
        signal.removeEventListener("abort", stop);
        stopped.promise.catch(() => undefined);
      }
    },
    wake,
    holds: (groupId) => unsettled.has(groupId),
    settle: (groupIds) => {
      for (const groupId of groupIds) {
        for (const settled of unsettled.get(groupId) ?? []) settled.resolve();
        unsettled.delete(groupId);
      }
    },
  };
}
