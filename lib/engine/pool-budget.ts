/**
 * A budget of extra requests as a share of all: a token bucket that requests fill and extra ones empty. Pure.
 *
 * A brown-out in which everything is slow or fails cannot spend more than the share and the bucket's size, so retries
 * and hedges never become the storm that keeps a server down.
 */
export interface Budget {
  /** A request of its own began: it brings its share. */
  earn(): void;
  /** Takes one extra request out, if there is one. */
  spend(): boolean;
}

/** Starts full: what goes wrong first is to be mended. A share of 0 has nothing, ever. */
export function createBudget({ share, size }: { share: number; size: number }): Budget {
  let tokens = share > 0 ? size : 0;
  return {
    earn: () => {
      tokens = Math.min(size, tokens + share);
    },
    spend: () => {
      if (share === 0 || tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
