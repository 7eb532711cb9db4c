/**
 * Staleness: how old the policy that sampled a group may be when the group is trained on, and how many groups
 * may be asked for so that none becomes older. The rule is AReaL's (arXiv 2505.24298, section 5.1).
 */

export interface AdmissionInput {
  /** Most policy versions between sampling and training; 0 is on-policy. */
  maxStaleness: number;
  /** Number of the current policy version: updates so far. */
  version: number;
  /** Groups that one update takes. */
  batch: number;
  /** Groups whose rewards are in, trained ones included, since the run began. */
  accepted: number;
  /** Groups asked for and neither accepted nor given up. */
  running: number;
  /** Most groups that may be under way at once. */
  maxConcurrent: number;
}

/**
 * How many new groups may be asked for now; 0 when none may.
 *
 *     min( max(1, maxConcurrent) − running,
 *          (maxStaleness + version + 1) · max(1, batch) − (accepted + running) )
 *
 * Groups that were given up (dropped, expired) count neither as accepted nor as running: they leave room.
 */
export function admissible(input: AdmissionInput): number {
  const byConcurrency = Math.max(1, input.maxConcurrent) - input.running;
  const batch = Math.max(1, input.batch);
  const byStaleness = (input.maxStaleness + input.version + 1) * batch - (input.accepted + input.running);
  return Math.max(0, Math.min(byConcurrency, byStaleness));
}

/** True when a group sampled by `sampledVersion` is too old to train version `version` on. */
export function isStale(group: { sampledVersion: number; version: number; maxStaleness: number }): boolean {
  return group.version - group.sampledVersion > group.maxStaleness;
}
