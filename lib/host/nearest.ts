/** The known name that a mistyped one was probably meant to be. Pure. */

/**
 * The nearest of `known` by edit distance (case does not count), or undefined when none is near: at most a
 * third of the letters differ. A name without its section (`votes`) finds the field of that name.
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase();
  const last = lastPart(wanted);
  let best: { name: string; distance: number } | undefined;
  for (const candidate of known) {
    const lower = candidate.toLowerCase();
    const whole = editDistance(wanted, lower);
    // The right field in the wrong place is a likelier slip than two wrong letters.
    const distance = Math.min(whole, editDistance(last, lastPart(lower)) + 0.5);
    const limit = distance === whole ? wanted.length / 3 : last.length / 3;
    if (distance <= Math.max(1, limit) && (best === undefined || distance < best.distance)) {
      best = { name: candidate, distance };
    }
  }
  return best?.name;
}

/** Letters to insert, delete or replace to get from one text to the other (Levenshtein). */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf(".") + 1);
}
