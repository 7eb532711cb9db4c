/** What differs between the baselines when they judge: how one casts votes on an item. */
import type { CovoteError } from "../../lib/core/errors.js";
import type { AskedVote } from "../../lib/evaluation/asked-votes.js";
import type { EvaluationItem } from "../../lib/evaluation/items.js";
import type { Grammar } from "../../lib/grm/judgment.js";
import type { BaselineFolder } from "./folder.js";

export interface Voter {
  /** True when its one vote is all that there is. */
  deterministic: boolean;
  /** Fewest responses that it can say anything about. */
  least: 1 | 2;
  /**
   * `votes` votes at `temperature`, each of them one or more entries of one layer. Throws `invalid_argument` for an
   * item that can never be judged.
   */
  vote(item: EvaluationItem, how: VoteOptions): Promise<Omit<AskedVote, "id">[]>;
  failed: Promise<CovoteError>;
  close(): Promise<void>;
}

export interface VoteOptions {
  votes: number;
  temperature: number;
  seed: number;
  panelLimit: number | null;
  signal: AbortSignal;
}

export interface VoterOptions {
  folder: BaselineFolder;
  grammar: Grammar;
  threads: number;
}
