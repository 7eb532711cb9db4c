/** What an aggregator has judged so far, for its load reports. */
import type { JudgingLoad } from "../../lib/wire/gen/covote/v1/scaling.js";
import type { Outcome } from "./judgment.js";

export interface JudgingSums {
  /** A judgment has ended, of so many responses with so many votes on each. */
  ended(responses: number, votes: number, outcome: Outcome): void;
  load(inFlight: number): JudgingLoad;
}

export function createJudgingSums(): JudgingSums {
  const sums = { votesInForce: 0, judgments: 0, responses: 0, votes: 0, metaScores: 0, askedVotes: 0 };
  return {
    ended: (responses, votes, outcome) => {
      sums.votesInForce = votes;
      sums.judgments++;
      // One that was cut short says nothing about what a judgment takes.
      if (outcome.partial) return;
      sums.responses += responses;
      sums.askedVotes += votes * responses;
      sums.votes += outcome.votes.length;
      sums.metaScores += outcome.votes.filter(({ meta }) => meta !== null).length;
    },
    load: (inFlight) => ({ inFlight, ...sums }),
  };
}
