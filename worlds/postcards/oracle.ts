/**
 * The oracle of the postcards world: which criteria a card meets, and what that is worth.
 *
 * It is for measuring and for writing the corpora; the running cluster never asks it.
 *
 * - short: 3 to 6 words; long: 9 different words or more. Every token counts, `?` too.
 * - question: ends with `?`, its only one. thanks, number, colour: exactly one word of that kind.
 * - greeting: opens with a greeting of the recipient's register and the recipient; no other greeting.
 * - topic: two different words of the place or more, and nothing that leads away from it: no word of another
 *   place, no thanks, number, colour or question that was not asked for, no word that cards don't have.
 * - So neither stuffing everything in nor repeating what pays is worth anything.
 * - A text of more than 11 words is no postcard and meets nothing.
 */
import type { Query } from "./query.js";
import {
  type Criterion,
  cardWords,
  type Extra,
  extraOfWord,
  extraWordsOf,
  maxCardWords,
  placeOfTopicWord,
  registerOf,
  registerOfGreeting,
} from "./vocabulary.js";

export interface Principle {
  criterion: Criterion;
  /** 1 (least) to 3. */
  weight: number;
}

/** What the query asks for, requested criteria first, in the query's order, then topic and greeting. */
export function principlesOf(query: Query): Principle[] {
  const requested = query.requests.map((criterion, i) => ({ criterion, weight: 3 - i }));
  const register = registerOf[query.recipient];
  const greeting = query.recipient === "boss" ? 3 : register === "formal" ? 2 : 1;
  return [...requested, { criterion: "topic", weight: 2 }, { criterion: "greeting", weight: greeting }];
}

/** The criteria of the query, each met or not, in the order of `principlesOf`. */
export function verdicts(query: Query, response: string): { criterion: Criterion; met: boolean }[] {
  const card = response.split(" ").filter((word) => word !== "");
  return principlesOf(query).map(({ criterion }) => ({ criterion, met: meets(criterion, query, card) }));
}

/** Weighted share of the criteria met, in [0, 1]. */
export function utility(query: Query, response: string): number {
  const met = verdicts(query, response).map((v) => v.met);
  return weightedShare(principlesOf(query), met);
}

/** Σ weight · met / Σ weight. */
export function weightedShare(principles: readonly Principle[], met: readonly boolean[]): number {
  let sum = 0;
  let total = 0;
  principles.forEach(({ weight }, i) => {
    total += weight;
    if (met[i]) sum += weight;
  });
  return total === 0 ? 0 : sum / total;
}

function meets(criterion: Criterion, query: Query, card: readonly string[]): boolean {
  if (card.length > maxCardWords) return false;
  switch (criterion) {
    case "short":
      return card.length >= 3 && card.length <= 6;
    case "long":
      return new Set(card).size >= 9;
    case "question":
      return card.at(-1) === "?" && countExtra(card, "question") === 1;
    case "thanks":
    case "number":
    case "colour":
      return countExtra(card, criterion) === 1;
    case "greeting":
      return (
        registerOfGreeting.get(card[0] ?? "") === registerOf[query.recipient] &&
        card[1] === query.recipient &&
        card.filter((word) => registerOfGreeting.has(word)).length === 1
      );
    case "topic":
      return (
        new Set(card.filter((word) => placeOfTopicWord.get(word) === query.place)).size >= 2 &&
        !card.some((word) => isStray(word, query))
      );
  }
}

function countExtra(card: readonly string[], extra: Extra): number {
  return card.filter((word) => (extraWordsOf[extra] as readonly string[]).includes(word)).length;
}

function isStray(word: string, query: Query): boolean {
  if (!cardWords.has(word)) return true;
  const place = placeOfTopicWord.get(word);
  if (place !== undefined && place !== query.place) return true;
  const extra = extraOfWord.get(word);
  return extra !== undefined && !query.requests.includes(extra);
}
