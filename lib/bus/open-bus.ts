/** Connects a process to the bus. */
import type { Clock } from "../core/clock.js";
import type { Random } from "../core/random.js";
import type { Bus } from "./bus.js";
import type { QueueOverrides } from "./queues.js";

export interface BusOptions {
  /** `host:port` or `nats://host:port`, one or several. */
  servers: string | readonly string[];
  cluster: string;
  /** Shown by NATS tools: the service's name. */
  name: string;
  /** Id of this connection; default a fresh one. */
  id?: string;
  random: Random;
  clock?: Clock;
  /**
   * `own`: creates streams, consumers and buckets, again when the server lost them, and sweeps stranded
   * items into the dead letters. `use`: expects them, for processes that may not create any.
   * Default `own`.
   */
  topology?: "own" | "use";
  queues?: QueueOverrides;
  /** Prefix of reply subjects, for servers that restrict who may listen where. Default `_INBOX`. */
  inboxPrefix?: string;
  credsFile?: string;
  nkeySeedFile?: string;
  tls?: { caFile?: string; certFile?: string; keyFile?: string };
  /** Keep trying when there is no server at the start; default false: `unavailable` at once. */
  waitOnFirstConnect?: boolean;
  /** How long one attempt to connect may last; default 5000 ms. */
  connectTimeoutMs?: number;
}

export declare function openBus(opts: BusOptions): Promise<Bus>;
