/**
 * Object store on JetStream: files in chunks, with a SHA-256 digest that is checked whenever they are read.
 * The format is NATS's own, so `nats object ls` shows them.
 */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import {
  type ObjectInfo as NatsObjectInfo,
  type ObjectStore as NatsObjectStore,
  Objm,
  StorageType,
} from "@nats-io/obj";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import type { Clock } from "../core/clock.js";
import { deadlineIn, withDeadline } from "../core/deadline.js";
import { CovoteError, invalid } from "../core/errors.js";
import type { ObjectInfo, ObjectStore } from "./bus.js";
import { fromNats } from "./nats-errors.js";
import { type ObjectBucketName, objectBuckets } from "./queues.js";
import type { Subjects } from "./subjects.js";

export interface ObjectStoreOptions {
  nc: NatsConnection;
  clock: Clock;
  subjects: Subjects;
  bucket: ObjectBucketName;
  /** Makes the bucket if it is missing. */
  create: boolean;
  replicas: number;
}

const namePattern = /^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*$/;
/** For one whole transfer: a lost chunk would otherwise be waited for without end. */
const transferMs = 120_000;

export async function openObjectStore(opts: ObjectStoreOptions): Promise<ObjectStore> {
  const { bucket, clock } = opts;
  const store = await openBucket(opts);
  const call = async <T>(name: string, work: (what: string) => Promise<T>): Promise<T> => {
    if (!namePattern.test(name)) {
      throw invalid(
        `${bucket}.name`,
        `must be ids joined by . or /, got ${JSON.stringify(name.slice(0, 60))}`,
      );
    }
    const what = `object ${bucket}/${name}`;
    try {
      return await withDeadline(deadlineIn(clock, transferMs), { what, clock }, () => work(what));
    } catch (thrown) {
      throw fromNats(what, thrown);
    }
  };
  return {
    put: async (name, data) => call(name, async () => toInfo(await store.putBlob({ name }, data))),
    get: async (name, expect) =>
      call(name, async (what) => {
        const info = await store.info(name);
        if (info === null || info.deleted) throw new CovoteError("not_found", `${what} does not exist`);
        const { sha256 } = toInfo(info);
        if (expect?.sha256 !== undefined && expect.sha256 !== sha256) {
          throw new CovoteError("internal", `${what} has digest ${sha256}, expected ${expect.sha256}`);
        }
        const data = await store.getBlob(name).catch((cause: unknown) => {
          if (cause instanceof Error && cause.message.includes("digests do not match")) {
            throw new CovoteError("internal", `${what} is corrupt: its bytes do not match its digest`, {
              cause,
            });
          }
          throw cause;
        });
        if (data === null) throw new CovoteError("not_found", `${what} does not exist`);
        if (data.length !== info.size) {
          throw new CovoteError("internal", `${what} is corrupt: ${data.length} bytes of ${info.size}`);
        }
        return data;
      }),
    info: async (name) =>
      call(name, async () => {
        const info = await store.info(name);
        return info === null || info.deleted ? null : toInfo(info);
      }),
    delete: async (name) =>
      call(name, async () => {
        await store.delete(name);
      }),
  };
}

function toInfo(info: NatsObjectInfo): ObjectInfo {
  const digest = info.digest.replace(/^SHA-256=/, "");
  return { name: info.name, size: info.size, sha256: Buffer.from(digest, "base64url").toString("hex") };
}

async function openBucket(opts: ObjectStoreOptions): Promise<NatsObjectStore> {
  const name = opts.subjects.resource(opts.bucket);
  const manager = new Objm(jetstream(opts.nc, { checkAPI: opts.create }));
  try {
    if (!opts.create) {
      await (await jetstreamManager(opts.nc, { checkAPI: false })).streams.info(`OBJ_${name}`);
      return await manager.open(name, false);
    }
    const { ttlMs, maxBytes } = objectBuckets[opts.bucket];
    return await manager.create(name, {
      storage: StorageType.File,
      replicas: opts.replicas,
      max_bytes: maxBytes,
      ttl: nanos(ttlMs),
    });
  } catch (cause) {
    throw fromNats(`bucket ${name}`, cause);
  }
}
