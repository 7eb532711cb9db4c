/**
 * How responses that are given as steps are judged: what a panel shows, which scores that takes, and which reward each
 * score goes to.
 *
 * One mechanism serves every grammar. A judgment is about *pieces*, which panels show as their responses, and each
 * piece takes scores, which are numbered through as *units*:
 * - a grammar that scores steps shows a response with m steps as one piece of m + 1 units: its steps, then the whole;
 * - any other shows its m prefixes as pieces of one unit each; the last prefix is the whole response, so its reward is
 *   that of the last step, too.
 * A response given as text is one piece of one unit in both. Votes, filter, tally and null reasons know units only.
 */
import type { Response } from "../../lib/wire/gen/covote/v1/common.js";
import { StepForm } from "../../lib/wire/gen/covote/v1/reward.js";

export interface StepLayout {
  form: StepForm;
  /** What is shown of each piece. */
  texts: readonly string[];
  /** Steps of each piece, none for most; null: the grammar is shown texts only. */
  steps: readonly (readonly string[])[] | null;
  /** Units of each piece. */
  unitsOf: readonly number[];
  /** Of each unit: the response that it is about, and the step, counted from 1; 0: the whole. */
  units: readonly { response: number; step: number }[];
  /** Of each response: the unit of its reward, and those of its steps; null: it has none. */
  responses: readonly { whole: number; steps: readonly number[] | null }[];
}

/** The steps of each response, null for one that is given as text; null: none is given as steps. */
export function stepsOf(responses: readonly Response[]): (readonly string[] | null)[] | null {
  if (!responses.some(({ steps }) => steps !== undefined)) return null;
  return responses.map(({ steps }) => steps?.texts ?? null);
}

/** What stands between two steps where they are read as one text. */
const between = "\n\n";

/** Null when no response is given as steps: then responses, pieces and units are the same. */
export function stepLayout(responses: readonly Response[], scoresSteps: boolean): StepLayout | null {
  if (!responses.some(({ steps }) => steps !== undefined)) return null;
  const texts: string[] = [];
  const shown: string[][] = [];
  const unitsOf: number[] = [];
  const units: { response: number; step: number }[] = [];
  const places: { whole: number; steps: number[] | null }[] = [];
  const piece = (text: string, steps: string[], about: { response: number; step: number }[]): void => {
    texts.push(text);
    shown.push(steps);
    unitsOf.push(about.length);
    units.push(...about);
  };
  responses.forEach(({ text, steps }, response) => {
    const first = units.length;
    if (steps === undefined) {
      piece(text, [], [{ response, step: 0 }]);
      places.push({ whole: first, steps: null });
      return;
    }
    const all = steps.texts;
    const whole = { response, step: 0 };
    if (scoresSteps) {
      piece(all.join(between), all, [...all.map((_, i) => ({ response, step: i + 1 })), whole]);
      places.push({ whole: first + all.length, steps: all.map((_, i) => first + i) });
      return;
    }
    all.forEach((_, i) => {
      const last = i === all.length - 1;
      piece(all.slice(0, i + 1).join(between), [], [last ? whole : { response, step: i + 1 }]);
    });
    places.push({ whole: first + all.length - 1, steps: all.map((_, i) => first + i) });
  });
  return {
    form: scoresSteps ? StepForm.STEP : StepForm.PREFIX,
    texts,
    steps: scoresSteps ? shown : null,
    unitsOf,
    units,
    responses: places,
  };
}

/** Units that can be compared have the same kind: wholes with wholes, steps with those of their response. */
export function kindsOf({ units }: StepLayout): number[] {
  return units.map(({ response, step }) => (step === 0 ? 0 : response + 1));
}
