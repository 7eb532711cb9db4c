/**
 * A query of the postcards world: to whom, from where, and what the card must be.
 *
 *   query to friend from river be question thanks .
 *
 * One to three different requests, in order of importance, never `short` and `long` together. There are
 * 4,680 queries; a hash of the text (not of a seed) decides which tenth of them is held out, so no run can
 * train on another run's test.
 */
import { invalid } from "../../lib/core/errors.js";
import { type Random, seedFrom } from "../../lib/core/random.js";
import {
  type Place,
  places,
  type Recipient,
  type Requestable,
  recipients,
  requestable,
} from "./vocabulary.js";

export interface Query {
  recipient: Recipient;
  place: Place;
  /** One to three, the most important first. */
  requests: readonly Requestable[];
}

export type Split = "train" | "held-out";

export function renderQuery(query: Query): string {
  return `query to ${query.recipient} from ${query.place} be ${query.requests.join(" ")} .`;
}

/** Throws `invalid_argument` (field `query`) for any text that `renderQuery` cannot have written. */
export function parseQuery(text: string): Query {
  const match = /^query to (\w+) from (\w+) be ([\w ]+) \.$/.exec(text);
  const [recipient, place] = [match?.[1], match?.[2]];
  const requests = match?.[3]?.split(" ") ?? [];
  if (!isOneOf(recipients, recipient) || !isOneOf(places, place) || !isRequestList(requests)) {
    throw invalid(
      "query",
      `not a postcards query: "${text}"; write "query to friend from river be thanks ."`,
    );
  }
  return { recipient, place, requests };
}

/** Every query, in a fixed order. */
export function allQueries(): Query[] {
  const lists: Requestable[][] = requestable.map((r) => [r]);
  for (const list of lists) {
    if (list.length === 3) break;
    for (const next of requestable) if (isRequestList([...list, next])) lists.push([...list, next]);
  }
  return recipients.flatMap((recipient) =>
    places.flatMap((place) => lists.map((requests) => ({ recipient, place, requests }))),
  );
}

export function splitOf(query: Query): Split {
  return seedFrom("postcards split", renderQuery(query)) % 10 === 0 ? "held-out" : "train";
}

/** Queries of one split in random order, starting over (reshuffled) when all were drawn. */
export function createQueryStream(split: Split, random: Random): () => Query {
  const all = allQueries().filter((query) => splitOf(query) === split);
  let deck: Query[] = [];
  return () => {
    if (deck.length === 0) deck = random.shuffle(all);
    return deck.pop() as Query;
  };
}

/** `count` different held-out queries, the same ones for everybody who asks for as many. */
export function heldOutQueries(count: number, random: Random): Query[] {
  const draw = createQueryStream("held-out", random);
  return Array.from({ length: count }, draw);
}

function isRequestList(list: readonly string[]): list is Requestable[] {
  return (
    list.length >= 1 &&
    list.length <= 3 &&
    list.every((r) => isOneOf(requestable, r)) &&
    new Set(list).size === list.length &&
    !(list.includes("short") && list.includes("long"))
  );
}

function isOneOf<T extends string>(list: readonly T[], word: string | undefined): word is T {
  return (list as readonly (string | undefined)[]).includes(word);
}
