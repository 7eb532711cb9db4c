/**
 * The subjects of one cluster: `covote.<cluster>.…`. Every variable token is a checked id, so that no id
 * that a user chose can smuggle in a `.`, `*` or `>`.
 */
import { parseId } from "../core/ids.js";
import type { QueueName } from "./queues.js";

export interface Subjects {
  /** `covote.<cluster>` */
  readonly root: string;
  /** Votes for the aggregator with this id. */
  votes(owner: string): string;
  /** Broadcast to all grm-workers: votes that are not needed any more. */
  cancels(): string;
  /** Request to the meta RMs (queue group): scores for a micro-batch. */
  metaScores(): string;
  /** Load reports of a role. Without one: of all roles (for subscribing). */
  loads(role?: string): string;
  /** Broadcast of what happened; `kind` is one token. Without one: all kinds (for subscribing). */
  events(kind?: string): string;
  /** An actor of another process, by name. */
  actor(name: string): string;
  /** One channel of a work queue. */
  queue(queue: QueueName, channel: string): string;
  /** All channels of a work queue (for streams, not for publishing). */
  queueAll(queue: QueueName): string;
  /** Dead letters of a queue. Without one: of all queues. */
  deadLetters(queue?: QueueName): string;
  /** Any other subject below the root; each token is checked. */
  of(...tokens: string[]): string;
  /** JetStream stream of a queue. */
  stream(queue: QueueName): string;
  /** Other stream, bucket and object-store names. */
  resource(name: string): string;
}

export function createSubjects(cluster: string): Subjects {
  const name = parseId("cluster", cluster);
  const root = `covote.${name}`;
  const resource = (suffix: string): string => `covote_${name}_${suffix}`;
  return {
    root,
    votes: (owner) => `${root}.votes.${parseId("votes.owner", owner)}`,
    cancels: () => `${root}.cancels`,
    metaScores: () => `${root}.meta.scores`,
    loads: (role) => `${root}.loads.${role === undefined ? "*" : parseId("loads.role", role)}`,
    events: (kind) => `${root}.events.${kind === undefined ? "*" : parseId("events.kind", kind)}`,
    actor: (actor) => `${root}.actor.${parseId("actor.name", actor)}`,
    queue: (queue, channel) => `${root}.queue.${queue}.${parseId("queue.channel", channel)}`,
    queueAll: (queue) => `${root}.queue.${queue}.*`,
    deadLetters: (queue) => `${root}.dead.${queue ?? "*"}`,
    of: (...tokens) => [root, ...tokens.map((token, i) => parseId(`subject[${i}]`, token))].join("."),
    stream: (queue) => resource(queue),
    resource,
  };
}
