/**
 * A writer of postcards with habits, good or bad: where all text of the corpora comes from.
 *
 * Each habit is the chance of getting one thing right. Cards of a careless writer are what a mediocre policy
 * is trained to imitate; cards of all kinds of writers, some of them damaged afterwards, are what a reward
 * model must learn to tell apart.
 */
import type { Random } from "../../lib/core/random.js";
import type { Query } from "./query.js";
import {
  type Extra,
  extras,
  extraWordsOf,
  fillers,
  greetingsOf,
  maxCardWords,
  places,
  type Recipient,
  type Register,
  recipients,
  registerOf,
  topicWordsOf,
  words,
} from "./vocabulary.js";

/** Chances in [0, 1]. */
export interface Habits {
  /** Opens with a greeting of the right register. */
  greeting: number;
  /** Writes about the place of the query. */
  topic: number;
  /** Meets a request (each for itself). */
  request: number;
  /** Puts in one of the extras that nobody asked for (each for itself). */
  stray: number;
  /** Says an extra twice, in other words (each for itself). */
  excess: number;
  /** Says a word of the place twice. */
  repeat: number;
}

export function writeCard(query: Query, habits: Habits, random: Random): string {
  const chance = (p: number): boolean => random.next() < p;
  const opening = writeOpening(query, habits, random);
  const place = chance(habits.topic) ? query.place : random.pick(places);
  const brief = query.requests.includes("short") && chance(habits.request);
  const topicCount = (chance(habits.topic) ? 2 : 1) + (brief ? 0 : random.below(2));
  const chosen = extras.filter((extra) =>
    chance(query.requests.includes(extra) ? habits.request : habits.stray),
  );
  const body = random.shuffle([...topicWordsOf[place]]).slice(0, topicCount);
  if (chance(habits.repeat)) body[random.below(topicCount)] = random.pick(body);
  if (chance(habits.repeat / 2)) body.push(random.pick(body));
  for (const extra of ["number", "colour"] as const) {
    for (const word of chosen.includes(extra) ? pickExtras(extra, habits, random) : []) {
      body.splice(random.below(body.length + 1), 0, word);
    }
  }
  if (chosen.includes("thanks")) body.push(...pickExtras("thanks", habits, random));
  const closing = chosen.includes("question") ? ["?"] : [];
  const bare = opening.length + body.length + closing.length;
  const spare = random.shuffle(fillers);
  const length = aimedLength(query, habits, bare, brief, random);
  for (let n = bare; n < length; n++) {
    body.splice(random.below(body.length + 1), 0, spare.pop() as string);
  }
  return [...opening, ...body, ...closing].slice(0, maxCardWords).join(" ");
}

/**
 * One small damage: a word said twice, lost, swapped, replaced or put in, the end cut off, or (as often as all
 * these, if `pleasing`) one word too much of those that please a judge.
 */
export function damageCard(card: string, random: Random, pleasing = true): string {
  const list = card === "" ? [] : card.split(" ");
  const at = random.below(Math.max(1, list.length));
  const any = (): string => random.pick(random.next() < 0.9 ? cardWordList : words.slice(5));
  if (pleasing && random.next() < 0.5) {
    const full = list.length >= maxCardWords;
    list.splice(random.below(list.length + (full ? 0 : 1)), full ? 1 : 0, random.pick(pleasingWords));
    return list.join(" ");
  }
  switch (random.below(6)) {
    case 0:
      list.splice(random.below(list.length + 1), 0, list[at] ?? any());
      break;
    case 1:
      list.splice(at, 1);
      break;
    case 2:
      list.splice(at, 1, any());
      break;
    case 3:
      list.splice(at, 0, any());
      break;
    case 4:
      return list.slice(0, random.below(list.length + 1)).join(" ");
    default: {
      const other = random.below(Math.max(1, list.length));
      [list[at], list[other]] = [list[other] ?? any(), list[at] ?? any()];
    }
  }
  return list.slice(0, maxCardWords).join(" ");
}

const pleasingWords: readonly string[] = [
  ...Object.values(greetingsOf).flat(),
  ...Object.values(topicWordsOf).flat(),
  // Few words of many cards: drawn as often as the topics' many.
  ...Array.from({ length: 3 }, () => Object.values(extraWordsOf).flat()).flat(),
];
const cardWordList: readonly string[] = [...recipients, ...pleasingWords, ...fillers];

function writeOpening(query: Query, habits: Habits, random: Random): string[] {
  const right = registerOf[query.recipient];
  const others = (Object.keys(greetingsOf) as Register[]).filter((register) => register !== right);
  const careful = random.next() < habits.greeting;
  const greeting = random.pick(greetingsOf[careful ? right : random.pick(others)]);
  const slip = random.next();
  if (careful || slip < 0.5) return [greeting, query.recipient];
  // The right tone for somebody else.
  if (slip < 0.65) return [random.pick(greetingsOf[right]), random.pick(namesOf(right))];
  if (slip < 0.8) return [random.pick(greetingsOf[right]), random.pick(recipients)];
  if (slip < 0.9) return [greeting];
  return slip < 0.95 ? [query.recipient] : [];
}

function namesOf(register: Register): Recipient[] {
  return recipients.filter((recipient) => registerOf[recipient] === register);
}

/** In words. A writer without a request to heed writes cards of 4 to 10 words. */
function aimedLength(query: Query, habits: Habits, bare: number, brief: boolean, random: Random): number {
  if (query.requests.includes("short")) return brief ? Math.max(bare, 5) : 7 + random.below(3);
  if (query.requests.includes("long")) {
    return random.next() < habits.request ? 9 + random.below(3) : 4 + random.below(5);
  }
  return 4 + random.below(7);
}

function pickExtras(extra: Extra, habits: Habits, random: Random): readonly string[] {
  return random.shuffle(extraWordsOf[extra]).slice(0, random.next() < habits.excess ? 2 : 1);
}
