/** Tokens that votes took, and where their principles came from: what one way of judging costs beside another. */

export interface TokenUse {
  votes: number;
  prompt: number;
  /** Part of `prompt` that came from an engine's prefix cache. */
  cached: number;
  /** Generated, the drawing of principles included. */
  completion: number;
  /** Votes by who wrote their principles, in split mode: an earlier draw, one for this vote, or after all the vote. */
  reused: number;
  drawn: number;
  fallback: number;
}

export const noTokens: TokenUse = {
  votes: 0,
  prompt: 0,
  cached: 0,
  completion: 0,
  reused: 0,
  drawn: 0,
  fallback: 0,
};

const fields = Object.keys(noTokens) as (keyof TokenUse)[];

/** Null when any of them is unknown: a sum of some would pass for that of all. */
export function sumTokens(uses: readonly (TokenUse | undefined)[]): TokenUse | null {
  const total = { ...noTokens };
  for (const use of uses) {
    if (use === undefined) return null;
    for (const field of fields) total[field] += use[field];
  }
  return uses.length === 0 ? null : total;
}

/** Undefined for anything that is not a whole use of tokens. */
export function tokenUseOf(value: unknown): TokenUse | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const given = value as Record<string, unknown>;
  if (!fields.every((field) => Number.isSafeInteger(given[field]) && (given[field] as number) >= 0)) return;
  return Object.fromEntries(fields.map((field) => [field, given[field]])) as unknown as TokenUse;
}
