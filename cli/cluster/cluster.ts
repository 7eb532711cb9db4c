/**
 * A running cluster as the command line sees it: the services that sample and judge, over their gRPC doors,
 * and a learner that can be started on them. One process or many: the same services, the same subjects.
 */
import type { NatsBus } from "../../lib/bus/open-bus.js";

/** Where one process of the cluster listens, each `host:port`. */
export interface Endpoint {
  /** Name of the process: a service's, or `covote` for all in one. */
  name: string;
  grpc: string | null;
  http: string | null;
  metrics: string;
}

export interface Cluster {
  readonly natsUrl: string;
  /** `host:port` of the RewardService. */
  readonly rewards: string;
  /** `host:port` of the PolicyService. */
  readonly policy: string | null;
  /** Of every process, in the order of their start. */
  readonly endpoints: readonly Endpoint[];
  /** A connection of the command line's own, for watching. */
  readonly bus: NatsBus;
  /** Starts the configured training run. Resolves when it has ended; rejects when it failed. */
  startLearner(): Promise<{ finished: Promise<void> }>;
  /** Rejects when a service of the cluster has failed for good; never resolves before `stop`. */
  readonly failed: Promise<never>;
  /** Drains everything in reverse order. Idempotent. */
  stop(): Promise<void>;
}
