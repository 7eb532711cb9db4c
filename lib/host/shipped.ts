/** Words that a configuration takes in the place of a path: what comes with covote. */

/** A checkpoint is a folder, or this word: the one that comes with covote. */
export const shippedCheckpoint = "postcards";

/** The demo world's corpus with hints in it. */
export const hintedCorpus = "postcards-hinted";
