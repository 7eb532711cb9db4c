/** Groups as a policy of the postcards world would send them; no two are equal. */
import { newId } from "../lib/core/ids.js";
import type { Random } from "../lib/core/random.js";
import type { ScoreRequest } from "../lib/wire/gen/covote/v1/reward.js";

export interface GroupShape {
  responses: number;
  /** On every response. */
  votes: number;
}

const words = ["hey", "friend", "we", "saw", "boat", "and", "fish", "grateful", "two", "blue", "tram", "?"];
const cardWords = 9;

export function scoreRequest(random: Random, { responses, votes }: GroupShape): ScoreRequest {
  const card = (): string => Array.from({ length: cardWords }, () => random.pick(words)).join(" ");
  return {
    requestId: `bench-${newId(random)}`,
    query: { messages: [{ role: "user", content: "query to friend from river be question thanks ." }] },
    responses: Array.from({ length: responses }, () => ({ text: card(), tokens: undefined })),
    options: {
      votes,
      metaKeep: 0,
      temperature: undefined,
      seed: random.below(2 ** 31),
      deadlineMs: undefined,
      panelLimit: undefined,
    },
    labels: {},
  };
}
