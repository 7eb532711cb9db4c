/**
 * What the command line knows of the world that a run learns in: held-out queries to measure on, and an oracle
 * where there is one. The cluster never sees it.
 */
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { shippedCheckpoint } from "../../lib/host/shipped.js";
import { utility } from "../../worlds/postcards/oracle.js";
import { heldOutQueries, parseQuery, renderQuery } from "../../worlds/postcards/query.js";

export interface World {
  /** Queries that no group of the run is asked for. Empty when the world has none. */
  heldOut: readonly string[];
  /** 0..1. */
  utility(query: string, response: string): number;
}

const heldOutCount = 200;

/** The world behind the run's prompts, or null when they are the user's own. */
export function worldOf(prompts: string): World | null {
  if (prompts !== shippedCheckpoint) return null;
  return {
    heldOut: heldOutQueries(heldOutCount, createRandom(seedFrom("held-out"))).map(renderQuery),
    utility: (query, response) => utility(parseQuery(query), response),
  };
}
