/** How large a study is: the one whose figures count, and a tiny one that shows in seconds whether all parts work. */

export interface StudySize {
  /** Held-out items of two responses, and of four. */
  pairs: number;
  lists: number;
  /** Numbers of votes to compare. */
  votes: readonly number[];
  /** Numbers of votes that ablations and baselines are compared at. */
  fewVotes: readonly number[];
  /** Arguments that the stages have beside their own. */
  base: readonly string[];
  rft: readonly string[];
  rl: readonly string[];
  metaRm: readonly string[];
  metaRmFromBase: readonly string[];
  baseline: readonly string[];
  policySteps: number;
}

export const wholeStudy: StudySize = {
  pairs: 2000,
  lists: 500,
  votes: [1, 2, 4, 8, 16, 32],
  fewVotes: [1, 8],
  base: [],
  rft: [],
  rl: [],
  metaRm: [],
  metaRmFromBase: ["--steps", "250", "--learning-rate", "0.0007"],
  baseline: [],
  policySteps: 60,
};

export const tinyStudy: StudySize = {
  pairs: 12,
  lists: 6,
  votes: [1, 2, 8, 32],
  fewVotes: [1, 8],
  base: ["--steps", "2", "--batch", "4"],
  rft: ["--steps", "2", "--set", "training.groupsPerStep=4", "--set", "training.groupSize=4"],
  rl: ["--steps", "2", "--set", "training.groupsPerStep=4", "--set", "training.groupSize=4"],
  metaRm: ["--items", "16", "--heldout-items", "4", "--steps", "2", "--batch", "8", "--votes", "4"],
  metaRmFromBase: [],
  baseline: ["--items", "16", "--batch", "8"],
  policySteps: 2,
};
