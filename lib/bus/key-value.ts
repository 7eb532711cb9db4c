/** Key-value buckets on JetStream, in the bus's own words and errors. */
import { DiscardPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm, type KvWatchEntry } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { CovoteError, invalid } from "../core/errors.js";
import type { KeyValue } from "./bus.js";
import { MessageHeaders } from "./message-headers.js";
import { fromNats, isWrongSequence } from "./nats-errors.js";
import { publishAcknowledged } from "./publish-acknowledged.js";
import { type BucketName, buckets } from "./queues.js";
import type { Subjects } from "./subjects.js";

export interface KeyValueOptions {
  nc: NatsConnection;
  subjects: Subjects;
  bucket: BucketName;
  /** Makes the bucket if it is missing. */
  create: boolean;
  replicas: number;
  failed(cause: unknown): void;
}

const keyPattern = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const maxKeyLength = 512;
/** Milliseconds; what the client gives all others. */
const createMs = 5000;
const neverWritten = new MessageHeaders().set("Nats-Expected-Last-Subject-Sequence", "0").forClient();

export async function openKeyValue(opts: KeyValueOptions): Promise<KeyValue> {
  const { bucket } = opts;
  const kv = await openBucket(opts);
  const prefix = `$KV.${opts.subjects.resource(bucket)}`;
  const call = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      throw fromNats(what, thrown);
    }
  };
  const named = (key: string): string => `${bucket}/${checkKey(bucket, key)}`;

  return {
    get: async (key) => {
      const entry = await call(named(key), () => kv.get(key));
      if (entry === null || entry.operation !== "PUT") return null;
      return { key, value: entry.value, revision: entry.revision };
    },
    put: async (key, value) => call(named(key), () => kv.put(key, value)),
    create: async (key, value) => {
      const what = named(key);
      const subject = `${prefix}.${key}`;
      const options = { headers: neverWritten, timeout: createMs };
      try {
        return (await publishAcknowledged(opts.nc, what, subject, value, options)).seq;
      } catch (thrown) {
        const error = fromNats(what, thrown);
        if (error.code !== "failed_precondition") throw error;
      }
      // It was written before, but may have been deleted since: the client looks.
      try {
        return await kv.create(key, value);
      } catch (cause) {
        if (isWrongSequence(cause))
          throw new CovoteError("already_exists", `${what} already exists`, { cause });
        throw fromNats(what, cause);
      }
    },
    update: async (key, value, revision) => {
      const what = named(key);
      try {
        return await kv.update(key, value, revision);
      } catch (cause) {
        if (isWrongSequence(cause)) {
          throw new CovoteError("failed_precondition", `${what} was changed after revision ${revision}`, {
            cause,
          });
        }
        throw fromNats(what, cause);
      }
    },
    delete: async (key) => call(named(key), () => kv.delete(key)),
    keys: async (prefix) => {
      const filter = prefix === undefined ? ">" : `${checkKey(bucket, prefix)}.>`;
      return call(`${bucket}/${filter}`, async () => {
        const found: string[] = [];
        for await (const key of await kv.keys(filter)) found.push(key);
        return found;
      });
    },
    watch: async (filter, handler) => {
      const what = `${bucket}/${filter ?? ">"}`;
      if (filter !== undefined) checkKey(bucket, filter.endsWith(".>") ? filter.slice(0, -2) : filter);
      const key = filter ?? ">";
      const count = (): Promise<number> => countSubjects(opts.nc, opts.subjects.resource(bucket), key);
      return call(what, () => watch(kv, key, count, handler, opts.failed));
    },
  };
}

async function watch(
  kv: KV,
  key: string,
  countPresent: () => Promise<number>,
  handler: Parameters<KeyValue["watch"]>[1],
  failed: (cause: unknown) => void,
): ReturnType<KeyValue["watch"]> {
  const iterator = await kv.watch({ key });
  let closed = false;
  let isReady = false;
  let ready = (): void => {};
  const readyPromise = new Promise<void>((resolve) => {
    ready = () => {
      isReady = true;
      resolve();
    };
  });
  const hand = async (entry: KvWatchEntry): Promise<void> => {
    try {
      const value = entry.operation === "PUT" ? entry.value : null;
      await handler({ key: entry.key, value, revision: entry.revision });
    } catch (cause) {
      failed(cause);
    }
  };
  const run = async (): Promise<void> => {
    for await (const entry of iterator) {
      if (closed) return;
      await hand(entry);
      // The last of the values of now is marked as an update already.
      if (!isReady && entry.isUpdate) ready();
    }
  };
  run().catch((cause: unknown) => {
    if (!closed) failed(cause);
  });
  // Counted after the watch began: whatever comes later is an entry of the iterator, and tells by itself.
  if ((await countPresent()) === 0) ready();
  return {
    ready: readyPromise,
    close: () => {
      closed = true;
      ready();
      iterator.stop();
    },
  };
}

/** Keys that match, markers of deleted ones included: a watcher is told about them too. */
async function countSubjects(nc: NatsConnection, bucketName: string, filter: string): Promise<number> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const info = await jsm.streams.info(`KV_${bucketName}`, { subjects_filter: `$KV.${bucketName}.${filter}` });
  return Object.keys(info.state.subjects ?? {}).length;
}

async function openBucket(opts: KeyValueOptions): Promise<KV> {
  const { bucket, nc } = opts;
  const name = opts.subjects.resource(bucket);
  const { ttlMs, history, maxBytes, whenFull } = buckets[bucket];
  const manager = new Kvm(jetstream(nc, { checkAPI: opts.create }));
  try {
    if (!opts.create) {
      // The client opens whatever it is told to, and finds out later.
      await (await jetstreamManager(nc, { checkAPI: false })).streams.info(`KV_${name}`);
      return await manager.open(name);
    }
    const limits = { history, ttl: ttlMs, max_bytes: maxBytes, replicas: opts.replicas };
    const kv = await manager.create(name, limits);
    if (whenFull === "forget") await forgetWhenFull(nc, name);
    return kv;
  } catch (cause) {
    throw fromNats(`bucket ${name}`, cause);
  }
}

/** The client makes every bucket one that refuses. */
async function forgetWhenFull(nc: NatsConnection, bucketName: string): Promise<void> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const stream = `KV_${bucketName}`;
  const { config } = await jsm.streams.info(stream);
  if (config.discard === DiscardPolicy.Old) return;
  await jsm.streams.update(stream, { ...config, discard: DiscardPolicy.Old });
}

function checkKey(bucket: BucketName, key: string): string {
  if (keyPattern.test(key) && key.length <= maxKeyLength) return key;
  throw invalid(`${bucket}.key`, `must be ids joined by dots, got ${JSON.stringify(key.slice(0, 60))}`);
}
