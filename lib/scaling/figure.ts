/**
 * One measured figure over time: smoothed, with an age, and slow to believe a leap.
 *
 * A counter that was reset, a renamed metric or a scrape of half the pods shows as a leap. Three observations in a row
 * that agree with each other make it true; until then the figure says `jumped` and keeps its last value.
 */
export interface FigureState {
  value: number | null;
  /** When a measurement last came in. */
  atMs: number;
  samples: number;
  /** The leap that is not believed yet, and how often it was seen. */
  leap: { value: number; seen: number } | null;
}

/** Before any time: finite, so that a state survives JSON. */
export const longAgo = -8.64e15;

export interface FigureRules {
  smoothingMs: number;
  jumpFactor: number;
}

/** Observations in a row that make a leap true. */
const convinced = 3;

export function newFigure(): FigureState {
  return { value: null, atMs: longAgo, samples: 0, leap: null };
}

/** Takes in a measurement made at `atMs`; null leaves the figure as it is. */
export function takeIn(figure: FigureState, measured: number | null, atMs: number, rules: FigureRules): void {
  if (measured === null) return;
  if (figure.value === null) {
    Object.assign(figure, { value: measured, atMs, samples: 1, leap: null });
    return;
  }
  if (isLeap(figure.value, measured, rules.jumpFactor)) {
    const agrees = figure.leap !== null && !isLeap(figure.leap.value, measured, Math.sqrt(rules.jumpFactor));
    figure.leap = { value: measured, seen: agrees && figure.leap !== null ? figure.leap.seen + 1 : 1 };
    if (figure.leap.seen >= convinced)
      Object.assign(figure, { value: measured, atMs, samples: 1, leap: null });
    return;
  }
  figure.leap = null;
  figure.samples++;
  const share = Math.max(
    1 - Math.exp(-Math.max(0, atMs - figure.atMs) / rules.smoothingMs),
    1 / figure.samples,
  );
  figure.value += share * (measured - figure.value);
  figure.atMs = Math.max(figure.atMs, atMs);
}

function isLeap(before: number, after: number, factor: number): boolean {
  return after > before * factor || after * factor < before;
}
