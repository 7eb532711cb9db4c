/**
 * Streams, consumers and buckets when a process may not make them itself: waiting for those that another one makes,
 * and making them for all.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { backoffMs } from "../core/backoff.js";
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { Random } from "../core/random.js";
import type { Bus } from "./bus.js";
import { isMissing } from "./nats-errors.js";
import { type BucketName, buckets, type ObjectBucketName, objectBuckets } from "./queues.js";
import { type CreationTimes, readCreationTimes, type Topology } from "./topology.js";

export interface Patience {
  clock: Clock;
  random: Random;
  timeoutMs: number;
}

const pause = { baseMs: 100, maxMs: 2000 };

/** Opens what somebody else makes, waiting for it; then it is an error that says who would. */
export async function onceProvisioned<T>(open: () => Promise<T>, patience: Patience): Promise<T> {
  const { clock, random, timeoutMs } = patience;
  const untilMs = clock.monotonic() + timeoutMs;
  for (let failures = 1; ; failures++) {
    try {
      return await open();
    } catch (thrown) {
      if (!isMissing(thrown)) throw thrown;
      const pauseMs = backoffMs(failures, pause, random);
      if (clock.monotonic() + pauseMs > untilMs) {
        const { message } = CovoteError.from(thrown);
        throw new CovoteError(
          "failed_precondition",
          `${message}; nats.provision is false here: let covote nats provision or the nats-steward make it`,
          { cause: thrown },
        );
      }
      await clock.sleep(pauseMs);
    }
  }
}

/** When the queues were made, as soon as they are. */
export async function awaitTopology(
  jsm: JetStreamManager,
  topology: Topology,
  patience: Patience,
): Promise<CreationTimes> {
  try {
    return await onceProvisioned(() => readCreationTimes(jsm, topology), patience);
  } catch (thrown) {
    // A process with few rights may not even look; then it is not told about lost queues either.
    if (isMissing(thrown)) throw thrown;
    return new Map();
  }
}

/** Makes every bucket, and the channel of each of these learners. The queues are made when the bus is opened. */
export async function provisionStores(bus: Bus, learners: readonly string[]): Promise<void> {
  await Promise.all([
    ...(Object.keys(buckets) as BucketName[]).map((bucket) => bus.kv(bucket)),
    ...(Object.keys(objectBuckets) as ObjectBucketName[]).map((bucket) => bus.objects(bucket)),
    ...learners.map((learner) => bus.ensureChannel("experience", learner)),
  ]);
}
