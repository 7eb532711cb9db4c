/**
 * A small client of the Kubernetes API for tests: JSON in and out, watches as callbacks. It is not the library that
 * the co-scaler uses, so that a fault of that one shows instead of cancelling itself out.
 */
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { createInterface } from "node:readline";

/** As much of an object as tests look at. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    finalizers?: string[];
    deletionTimestamp?: string;
    creationTimestamp?: string;
    ownerReferences?: { kind: string; name: string }[];
  };
  // biome-ignore lint/suspicious/noExplicitAny: specs of many kinds, written and read by tests that know them
  spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  status?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  data?: any;
}

export class KubeError extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string, message: string) {
    super(`${status} ${reason}: ${message}`);
    this.status = status;
    this.reason = reason;
  }
}

export interface WatchEvent {
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  object: KubeObject;
}

export interface Watching {
  stop(): void;
  /** Resolves when the server or the network ended it, or `stop`. */
  readonly ended: Promise<void>;
}

export interface Kube {
  call<T = KubeObject>(
    method: string,
    path: string,
    body?: unknown,
    opts?: { contentType?: string; timeoutMs?: number },
  ): Promise<T>;
  get<T = KubeObject>(path: string): Promise<T>;
  list(path: string): Promise<KubeObject[]>;
  create<T = KubeObject>(path: string, body: unknown): Promise<T>;
  replace<T = KubeObject>(path: string, body: unknown): Promise<T>;
  /** A JSON merge patch. */
  merge<T = KubeObject>(path: string, body: unknown): Promise<T>;
  remove(path: string): Promise<void>;
  /** From the given version on, or from the present. Resolves once the server has answered. */
  watch(path: string, event: (event: WatchEvent) => void, resourceVersion?: string): Promise<Watching>;
}

export interface KubeOptions {
  server: string;
  ca: string;
  token: string;
}

export function createKube({ server, ca, token }: KubeOptions): Kube {
  const open = (method: string, path: string, body?: string, contentType?: string) =>
    httpsRequest(new URL(path, server), {
      method,
      ca,
      agent: false,
      headers: {
        authorization: `Bearer ${token}`,
        accept: "application/json",
        ...(body === undefined
          ? {}
          : { "content-type": contentType ?? "application/json", "content-length": Buffer.byteLength(body) }),
      },
    });

  const call: Kube["call"] = async (method, path, body, opts = {}) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = open(method, path, text, opts.contentType);
      request.setTimeout(opts.timeoutMs ?? 30_000, () =>
        request.destroy(new Error(`${method} ${path}: no answer`)),
      );
      request.once("response", resolve);
      request.once("error", reject);
      request.end(text);
    });
    const answer = await textOf(response);
    const status = response.statusCode ?? 0;
    if (status >= 300) throw errorOf(status, answer);
    return answer === "" ? undefined : JSON.parse(answer);
  };

  return {
    call,
    get: (path) => call("GET", path),
    list: async (path) => (await call<{ items: KubeObject[] }>("GET", path)).items,
    create: (path, body) => call("POST", path, body),
    replace: (path, body) => call("PUT", path, body),
    merge: (path, body) => call("PATCH", path, body, { contentType: "application/merge-patch+json" }),
    remove: async (path) => void (await call("DELETE", path)),
    watch: (path, event, resourceVersion) =>
      new Promise((resolve, reject) => {
        const url = new URL(path, server);
        url.searchParams.set("watch", "true");
        if (resourceVersion !== undefined) url.searchParams.set("resourceVersion", resourceVersion);
        const request = open("GET", url.pathname + url.search);
        request.once("error", reject);
        request.once("response", (response) => {
          const status = response.statusCode ?? 0;
          if (status >= 300) {
            void textOf(response).then((text) => reject(errorOf(status, text)), reject);
            return;
          }
          const lines = createInterface({ input: response });
          const ended = new Promise<void>((done) => response.once("close", done));
          // A connection that breaks ends the watch like any other end.
          request.on("error", () => undefined);
          response.on("error", () => undefined);
          lines.on("error", () => undefined);
          lines.on("line", (line) => event(JSON.parse(line) as WatchEvent));
          resolve({ stop: () => request.destroy(), ended });
        });
        request.end();
      }),
  };
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function errorOf(status: number, text: string): KubeError {
  try {
    const { reason = "", message = text } = JSON.parse(text) as { reason?: string; message?: string };
    return new KubeError(status, reason, message);
  } catch {
    return new KubeError(status, "", text.slice(0, 300));
  }
}

/** Reads until it is as wanted; fails with what it was last. Polling, since an API server may be away meanwhile. */
export async function eventually<T>(
  what: string,
  read: () => Promise<T> | T,
  wanted: (value: T) => boolean,
  timeoutMs = 60_000,
): Promise<T> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    let seen: unknown;
    try {
      const value = await read();
      if (wanted(value)) return value;
      seen = value;
    } catch (error) {
      seen = error;
    }
    if (performance.now() > until) {
      const last = seen instanceof Error ? seen.message : JSON.stringify(seen);
      throw new Error(`${what}: not within ${timeoutMs} ms; last: ${last?.slice(0, 2000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
