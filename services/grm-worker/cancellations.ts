/**
 * Which votes are not needed any more. Remembers the last `capacity` cancelled judgments and votes, since a
 * cancel can overtake the ballot that it speaks of.
 */
export interface Cancellations {
  /** Cancels a judgment, or single votes of it; aborts those that run. */
  cancel(judgmentId: string, voteIds: readonly string[]): void;
  /** A running vote; call `release` when it has ended. The same vote may run more than once. */
  watch(judgmentId: string, voteId: string): WatchedVote;
  /** Judgments with running votes. */
  readonly watched: number;
}

export interface WatchedVote {
  /** Aborted when the vote is cancelled, or by `abort`. */
  readonly signal: AbortSignal;
  abort(): void;
  release(): void;
}

interface Running {
  voteId: string;
  controller: AbortController;
}

export function createCancellations(capacity = 4096): Cancellations {
  const remembered = new Set<string>();
  const running = new Map<string, Set<Running>>();

  const remember = (key: string): void => {
    remembered.delete(key);
    remembered.add(key);
    if (remembered.size <= capacity) return;
    for (const oldest of remembered) {
      remembered.delete(oldest);
      break;
    }
  };
  const keyOf = (judgmentId: string, voteId: string): string => `${judgmentId}/${voteId}`;

  return {
    cancel: (judgmentId, voteIds) => {
      if (voteIds.length === 0) remember(judgmentId);
      for (const voteId of voteIds) remember(keyOf(judgmentId, voteId));
      for (const vote of running.get(judgmentId) ?? []) {
        if (voteIds.length === 0 || voteIds.includes(vote.voteId)) vote.controller.abort();
      }
    },
    watch: (judgmentId, voteId) => {
      const vote: Running = { voteId, controller: new AbortController() };
      const votes = running.get(judgmentId) ?? new Set();
      running.set(judgmentId, votes);
      votes.add(vote);
      if (remembered.has(judgmentId) || remembered.has(keyOf(judgmentId, voteId))) vote.controller.abort();
      return {
        signal: vote.controller.signal,
        abort: () => vote.controller.abort(),
        release: () => {
          votes.delete(vote);
          if (votes.size === 0 && running.get(judgmentId) === votes) running.delete(judgmentId);
        },
      };
    },
    get watched() {
      return running.size;
    },
  };
}
