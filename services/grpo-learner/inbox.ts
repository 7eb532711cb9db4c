/**
 * Judged groups that wait for their step. A group's delivery is held open, unacknowledged, until `settle` says
 * that its end is on disk; a repeated delivery joins the first.
 */
import { type Deferred, deferred } from "../../lib/core/deferred.js";
import type { Experience } from "../../lib/wire/gen/covote/v1/policy.js";

export interface Inbox {
  /** Resolves when the group is settled. */
  put(groupId: string, experience: Experience, signal: AbortSignal): Promise<void>;
  /** The oldest `count` groups, as soon as there are so many; rejects with the signal's reason. */
  take(count: number, signal: AbortSignal): Promise<[groupId: string, experience: Experience][]>;
  /** Groups put and not yet taken. */
  size(): number;
  settle(groupIds: readonly string[]): void;
}

export function createInbox(): Inbox {
  const waiting = new Map<string, Experience>();
  const unsettled = new Map<string, Deferred<void>[]>();
  let arrived = deferred<void>();

  return {
    put: (groupId, experience, signal) => {
      const settled = deferred<void>();
      const known = unsettled.get(groupId);
      if (known === undefined) {
        unsettled.set(groupId, [settled]);
        waiting.set(groupId, experience);
        arrived.resolve();
        arrived = deferred<void>();
      } else known.push(settled);
      signal.addEventListener("abort", () => settled.reject(signal.reason), { once: true });
      return settled.promise;
    },
    take: async (count, signal) => {
      const stopped = deferred<never>();
      const stop = (): void => stopped.reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      try {
        while (waiting.size < count) await Promise.race([arrived.promise, stopped.promise]);
        signal.throwIfAborted();
        const taken = [...waiting].slice(0, count);
        for (const [groupId] of taken) waiting.delete(groupId);
        return taken;
      } finally {
        signal.removeEventListener("abort", stop);
        stopped.promise.catch(() => undefined);
      }
    },
    size: () => waiting.size,
    settle: (groupIds) => {
      for (const groupId of groupIds) {
        for (const settled of unsettled.get(groupId) ?? []) settled.resolve();
        unsettled.delete(groupId);
      }
    },
  };
}
