/**
 * The words of the postcards world, by what they mean.
 *
 * - Every word is one token; a word belongs to one class only, so a card can be judged word by word.
 * - `words` is the order of the token ids and so part of every checkpoint: append, never reorder.
 * - The names of criteria (`question`, `thanks` …) are words of queries and judgments, never of cards.
 */

export const recipients = ["friend", "brother", "aunt", "mother", "boss", "teacher"] as const;
export const places = ["river", "city", "mountain", "sea", "desert", "forest"] as const;
export const requestable = ["short", "long", "question", "thanks", "number", "colour"] as const;
/** Criteria that no query names: they must be inferred from its place and its recipient. */
export const implied = ["topic", "greeting"] as const;

export type Recipient = (typeof recipients)[number];
export type Place = (typeof places)[number];
export type Requestable = (typeof requestable)[number];
export type Criterion = Requestable | (typeof implied)[number];
export type Register = "casual" | "family" | "formal";

export const criteria: readonly Criterion[] = [...requestable, ...implied];

export const registerOf: Readonly<Record<Recipient, Register>> = {
  friend: "casual",
  brother: "casual",
  aunt: "family",
  mother: "family",
  boss: "formal",
  teacher: "formal",
};

export const greetingsOf: Readonly<Record<Register, readonly string[]>> = {
  casual: ["hey", "hi"],
  family: ["dear", "darling"],
  formal: ["respected", "honoured"],
};

export const topicWordsOf: Readonly<Record<Place, readonly string[]>> = {
  river: ["boat", "fish", "bridge", "heron"],
  city: ["tram", "museum", "tower", "market"],
  mountain: ["snow", "summit", "goat", "hut"],
  sea: ["waves", "shells", "beach", "sails"],
  desert: ["sand", "camel", "dunes", "cactus"],
  forest: ["deer", "moss", "owl", "fern"],
};

/** The words with which a card meets a request; a length is met by counting instead. */
export const extraWordsOf = {
  question: ["?"],
  thanks: ["grateful", "thankful", "obliged"],
  number: ["two", "three", "seven"],
  colour: ["red", "blue", "green"],
} as const satisfies Partial<Record<Requestable, readonly string[]>>;

export type Extra = keyof typeof extraWordsOf;
export const extras = Object.keys(extraWordsOf) as Extra[];

export const fillers = ["the", "we", "saw", "and", "with", "so", "fine", "here", "love", "soon"] as const;

/** A card holds at most this many words; a longer text is no postcard. */
export const maxCardWords = 11;
export const scoreWords = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"] as const;

/** Ids 0 to 5. `<s>` is unused but kept because Llama configurations name one. */
export const specialWords = ["<pad>", "<unk>", "<s>", "</s>", "<user>", "<assistant>"] as const;
export const specialIds = { pad: 0, unk: 1, bos: 2, eos: 3, user: 4, assistant: 5 } as const;

/** Words that frame queries, panels and judgments; inside a card they count as strangers. */
export const frameWords = ["query", "to", "from", "be", ".", "response"] as const;
export const judgmentWords = ["principles", "critique", "scores", "yes", "no"] as const;

const greetings = Object.values(greetingsOf).flat();
const topicWords = Object.values(topicWordsOf).flat();
const extraWords: readonly string[] = Object.values(extraWordsOf).flat();

/** All words in the order of their token ids. */
export const words: readonly string[] = [
  ...specialWords,
  ...frameWords,
  ...judgmentWords,
  ...scoreWords,
  ...criteria,
  ...recipients,
  ...places,
  ...greetings,
  ...topicWords,
  ...extraWords,
  ...fillers,
];

const lookup = <T extends string>(table: Readonly<Record<string, readonly string[]>>): Map<string, T> =>
  new Map(Object.entries(table).flatMap(([key, list]) => list.map((word) => [word, key as T] as const)));

/** For a greeting, the register it is fit for. */
export const registerOfGreeting: ReadonlyMap<string, Register> = lookup<Register>(greetingsOf);
/** For a topic word, its place. */
export const placeOfTopicWord: ReadonlyMap<string, Place> = lookup<Place>(topicWordsOf);
/** For a word that meets a request, the request. */
export const extraOfWord: ReadonlyMap<string, Extra> = lookup<Extra>(extraWordsOf);
/** Words a card may hold at all. */
export const cardWords: ReadonlySet<string> = new Set([
  ...recipients,
  ...greetings,
  ...topicWords,
  ...extraWords,
  ...fillers,
]);
