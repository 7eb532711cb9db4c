/**
 * One measured figure over time: smoothed as long as the noise asks for, with an age, and slow to believe a leap.
 *
 * Two averages run side by side, a quick and a slow one. The slow one counts, because a small cluster measures few
 * responses a minute and would otherwise chase their noise; when the two differ by more than the noise explains, the
 * figure has changed, and the slow one starts anew from the quick one.
 *
 * A counter that was reset, a renamed metric or a scrape of half the pods shows as a leap. Three observations in a row
 * that agree with each other make it true; until then the figure says `jumped` and keeps its last value.
 */
export interface FigureState {
  /** What counts: the slow average. */
  value: number | null;
  quick: number;
  /** The last measurement, and the variance of one: half the mean square of successive differences, as drift adds little to it. */
  last: number;
  variance: number;
  /** When a measurement last came in. */
  atMs: number;
  samples: number;
  /** The leap that is not believed yet, and how often it was seen. */
  leap: { value: number; seen: number } | null;
}

/** Before any time: finite, so that a state survives JSON. */
export const longAgo = -8.64e15;

export interface FigureRules {
  /** Time constant of the quick average; the slow one's is twenty times as long. */
  smoothingMs: number;
  jumpFactor: number;
}

/** Observations in a row that make a leap true. */
const convinced = 3;
const slowness = 20;
/** Standard errors of the quick average that are a change. */
const changed = 3.5;

export function newFigure(): FigureState {
  return { value: null, quick: 0, last: 0, variance: 0, atMs: longAgo, samples: 0, leap: null };
}

/** Takes in a measurement made at `atMs`; null leaves the figure as it is. */
export function takeIn(figure: FigureState, measured: number | null, atMs: number, rules: FigureRules): void {
  if (measured === null) return;
  if (figure.value === null) {
    startAnew(figure, measured, atMs, 1);
    return;
  }
  if (isLeap(figure.quick, measured, rules.jumpFactor)) {
    const agrees = figure.leap !== null && !isLeap(figure.leap.value, measured, Math.sqrt(rules.jumpFactor));
    figure.leap = { value: measured, seen: agrees && figure.leap !== null ? figure.leap.seen + 1 : 1 };
    if (figure.leap.seen >= convinced) startAnew(figure, measured, atMs, convinced);
    return;
  }
  figure.leap = null;
  figure.samples++;
  const passedMs = Math.max(0, atMs - figure.atMs);
  const least = 1 / figure.samples;
  const quickShare = Math.max(1 - Math.exp(-passedMs / rules.smoothingMs), least);
  const slowShare = Math.max(1 - Math.exp(-passedMs / (slowness * rules.smoothingMs)), least);
  const step = measured - figure.last;
  // Finite for any measurement, so that a state survives JSON.
  const square = Math.min(step * step, Number.MAX_VALUE);
  figure.variance += slowShare * (square / 2 - figure.variance);
  figure.last = measured;
  figure.quick += quickShare * (measured - figure.quick);
  figure.value += slowShare * (measured - figure.value);
  figure.atMs = Math.max(figure.atMs, atMs);
  // Variance of an exponential average of independent measurements.
  const standardError = Math.sqrt((figure.variance * quickShare) / (2 - quickShare));
  if (Math.abs(figure.quick - figure.value) > changed * standardError) {
    // The slow average knows as much as the quick one does.
    figure.value = figure.quick;
    figure.samples = Math.min(figure.samples, Math.max(convinced + 1, Math.round(2 / quickShare)));
  }
}

function startAnew(figure: FigureState, measured: number, atMs: number, samples: number): void {
  Object.assign(figure, {
    value: measured,
    quick: measured,
    last: measured,
    variance: 0,
    atMs,
    samples,
    leap: null,
  });
}

function isLeap(before: number, after: number, factor: number): boolean {
  return after > before * factor || after * factor < before;
}
