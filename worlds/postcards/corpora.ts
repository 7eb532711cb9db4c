/**
 * The corpora that the three models of the postcards world are trained on. All are endless streams, all come
 * from a seed alone, and a stream of the `train` split never holds a held-out query.
 */
import { createRandom, type Random, seedFrom } from "../../lib/core/random.js";
import { createQueryStream, type Query, type Split } from "./query.js";
import { damageCard, type Habits, writeCard } from "./writer.js";

export interface Card {
  query: Query;
  response: string;
}

/** Responses to one query, in the order in which a judge sees them. */
export interface Panel {
  query: Query;
  responses: readonly string[];
}

/** Largest panel that the reward models are trained on. */
export const maxPanelSize = 4;

/**
 * The writer that the policy imitates before any reward: it knows how cards look, but heeds its query little.
 * Half the gap to a perfect card is habit that reinforcement learning has to find out.
 */
export const mediocreHabits: Habits = {
  greeting: 0.38,
  topic: 0.52,
  request: 0.42,
  stray: 0.1,
  excess: 0.05,
  repeat: 0.03,
};

export function createCardStream(seed: number, split: Split = "train"): () => Card {
  const random = createRandom(seedFrom("postcards cards", seed));
  const drawQuery = createQueryStream(split, random);
  return () => {
    const query = drawQuery();
    return { query, response: writeCard(query, mediocreHabits, random) };
  };
}

export interface PanelOptions {
  /** Responses of a panel, 1 to `maxPanelSize`. Default: four most often. */
  size?: (random: Random) => number;
  /** Whether some writers have vices. Default true; without, topic and requests are easier to make out. */
  vices?: boolean;
}

/**
 * Panels as a reward model meets them during a whole run: groups of one writer (of any quality, late ones
 * good and hard to tell apart), mixtures, and variants of one card that differ by a single slip.
 */
export function createPanelStream(
  seed: number,
  split: Split = "train",
  { size = mixedPanelSize, vices = true }: PanelOptions = {},
): () => Panel {
  const random = createRandom(seedFrom("postcards panels", seed));
  const drawQuery = createQueryStream(split, random);
  return () => {
    const query = drawQuery();
    const count = size(random);
    const kind = random.next();
    const habits = drawHabits(random, vices);
    const write = (): string => {
      if (kind < 0.4) return writeCard(query, habits, random);
      if (kind < 0.8) return writeCard(query, drawHabits(random, vices), random);
      return damage(original, 0.85, random, vices);
    };
    const original = writeCard(query, habits, random);
    return {
      query,
      responses: Array.from({ length: count }, () => damage(write(), vices ? 0.2 : 0.1, random, vices)),
    };
  };
}

export function mixedPanelSize(random: Random): number {
  const draw = random.next();
  if (draw < 0.05) return 1;
  if (draw < 0.3) return 2;
  return draw < 0.4 ? 3 : maxPanelSize;
}

/**
 * A writer of any quality, better ones more often. Some have a vice, however good they are otherwise:
 * saying what pleases whether asked or not, saying it twice, getting names wrong. That is what a policy tries
 * first when it is rewarded by a model that doesn't mind.
 */
function drawHabits(random: Random, vices: boolean): Habits {
  const level = 1 - random.next() ** 1.6 * 0.85;
  const around = (middle: number): number => Math.min(1, Math.max(0, middle + 0.2 * random.normal()));
  const stuffs = vices && random.next() < 0.3;
  const repeats = vices && random.next() < 0.3;
  const misnames = vices && random.next() < 0.15;
  return {
    greeting: misnames ? 0.6 * random.next() : around(level),
    topic: around(level),
    request: around(level),
    stray: stuffs ? random.next() : (1 - level) * 0.2 * random.next(),
    excess: stuffs ? 0.5 * random.next() : 0.03,
    repeat: repeats ? 0.7 * random.next() : 0.03,
  };
}

function damage(card: string, chance: number, random: Random, vices: boolean): string {
  let damaged = card;
  for (let p = chance; random.next() < p; p *= 0.4) damaged = damageCard(damaged, random, vices);
  return damaged;
}
