/**
 * Which votes are not needed any more. Remembers the last `capacity` cancelled judgments and votes, since a
 * cancel can overtake the ballot that it speaks of.
 */
export interface Cancellations {
  /** Cancels a judgment, or single votes of it; aborts those that run. */
  cancel(judgmentId: string, voteIds: readonly string[]): void;
  isCancelled(judgmentId: string, voteId: string): boolean;
  /** A running vote; call `release` when it has ended. */
  watch(judgmentId: string, voteId: string): WatchedVote;
}

export interface WatchedVote {
  /** Aborted when the vote is cancelled, or by `abort`. */
  readonly signal: AbortSignal;
  abort(): void;
  release(): void;
}

export function createCancellations(capacity = 4096): Cancellations {
  const remembered = new Set<string>();
  const running = new Map<string, Map<string, AbortController>>();

  const remember = (key: string): void => {
    remembered.delete(key);
    remembered.add(key);
    if (remembered.size <= capacity) return;
    for (const oldest of remembered) {
      remembered.delete(oldest);
      break;
    }
  };

  return {
    cancel: (judgmentId, voteIds) => {
      const votes = running.get(judgmentId);
      if (voteIds.length === 0) {
        remember(judgmentId);
        for (const controller of votes?.values() ?? []) controller.abort();
        return;
      }
      for (const voteId of voteIds) {
        remember(voteId);
        votes?.get(voteId)?.abort();
      }
    },
    isCancelled: (judgmentId, voteId) => remembered.has(judgmentId) || remembered.has(voteId),
    watch: (judgmentId, voteId) => {
      const controller = new AbortController();
      const votes = running.get(judgmentId) ?? new Map<string, AbortController>();
      running.set(judgmentId, votes);
      votes.set(voteId, controller);
      if (remembered.has(judgmentId) || remembered.has(voteId)) controller.abort();
      return {
        signal: controller.signal,
        abort: () => controller.abort(),
        release: () => {
          votes.delete(voteId);
          if (votes.size === 0) running.delete(judgmentId);
        },
      };
    },
  };
}
