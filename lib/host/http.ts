/**
 * A small HTTP server: exact routes, bounded bodies, errors by the table of CovoteError.
 *
 * - A request has ten seconds to say what it is and thirty to say all of it, so that slow senders do not pile up.
 * - Beyond `maxInFlight` requests it answers `overloaded` with a time to come back, before a body is read.
 *
 * `opsRoutes` are what Kubernetes and Prometheus ask for: `/metrics`, `/healthz` (the process lives),
 * `/readyz` (it takes work).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Clock, systemClock } from "../core/clock.js";
import type { Deadline } from "../core/deadline.js";
import { CovoteError, type ErrorCode } from "../core/errors.js";
import type { Logger } from "../core/logger.js";
import type { Health } from "./health.js";
import { cannotListen, type ListenAddress } from "./listen.js";
import type { Metrics } from "./metrics.js";

export interface HttpRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
  /** The body as text; longer ones and such that are not UTF-8 are `invalid_argument`. */
  text(maxBytes: number): Promise<string>;
}

export interface HttpAnswer {
  status: number;
  /** Default `application/json` for objects, `text/plain` for text. */
  contentType?: string;
  body: string | object;
}

/** Bodies beyond the bound: 413, and the rest is not read. */
class BodyTooLarge extends CovoteError {
  constructor(maxBytes: number) {
    super("invalid_argument", `body: must be at most ${maxBytes} bytes`, { field: "body" });
  }
}

/** By method and path: `GET /metrics`. A path that ends in `/*` serves all below it. */
export type HttpRoutes = Record<string, (request: HttpRequest) => Promise<HttpAnswer>>;

export interface HttpServerOptions {
  address: ListenAddress;
  /** The setting that the address comes from, for errors. */
  field: string;
  routes: HttpRoutes;
  log: Logger;
  clock?: Clock;
  /** Requests side by side; default: as many as come. */
  maxInFlight?: number;
}

export interface HttpServer {
  /** The one that was bound, so port 0 is resolved. */
  readonly address: ListenAddress;
  /** Finishes the requests that run, at most until the deadline. Idempotent. */
  stop(deadline: Deadline): Promise<void>;
}

export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const clock = options.clock ?? systemClock();
  let stopping: Promise<void> | undefined;
  const limits = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 1000 };
  let inFlight = 0;
  const server = createServer(limits, (request, response) => {
    if (inFlight >= (options.maxInFlight ?? Number.POSITIVE_INFINITY)) {
      sendError(response, tooMany(inFlight));
      return;
    }
    inFlight++;
    response.once("close", () => inFlight--);
    void answer(options, request, response, () => {
      // A connection that is kept alive would hold up the shutdown when its last request is answered.
      if (stopping !== undefined) response.shouldKeepAlive = false;
    });
  });
  const port = await listen(server, options);

  async function stopOnce(deadline: Deadline): Promise<void> {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const timer = clock.after(deadline.remainingMs(), () => server.closeAllConnections());
    await closed;
    timer.cancel();
  }
  return {
    address: { host: options.address.host, port },
    stop: (deadline) => {
      stopping ??= stopOnce(deadline);
      return stopping;
    },
  };
}

export function opsRoutes(metrics: Metrics, health: Health): HttpRoutes {
  return {
    "GET /metrics": async () => ({
      status: 200,
      contentType: metrics.contentType,
      body: await metrics.text(),
    }),
    "GET /healthz": async () => ({ status: 200, body: "ok\n" }),
    "GET /readyz": async () => {
      const { ready, notReady } = health.report();
      const why = Object.entries(notReady).map(([component, reason]) => `${component}: ${reason}\n`);
      return ready ? { status: 200, body: "ready\n" } : { status: 503, body: why.join("") };
    },
  };
}

/** HTTP status of each code. */
export const httpStatus: Record<ErrorCode, number> = {
  invalid_argument: 400,
  deadline_exceeded: 504,
  not_found: 404,
  already_exists: 409,
  overloaded: 429,
  failed_precondition: 409,
  cancelled: 499,
  internal: 500,
  unavailable: 503,
};

async function answer(
  options: HttpServerOptions,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  beforeAnswer: () => void,
): Promise<void> {
  const aborter = new AbortController();
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) aborter.abort(new CovoteError("cancelled", "the client went away"));
  });
  try {
    const url = new URL(incoming.url ?? "/", "http://localhost");
    const handler = findRoute(options.routes, incoming.method ?? "GET", url.pathname);
    const reply = await handler({
      path: url.pathname,
      query: url.searchParams,
      headers: incoming.headers,
      signal: aborter.signal,
      text: (maxBytes) => readText(incoming, maxBytes),
    });
    beforeAnswer();
    send(outgoing, reply);
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code === "internal") options.log.error({ path: incoming.url, error }, error.message);
    beforeAnswer();
    sendError(outgoing, error);
  }
}

function findRoute(routes: HttpRoutes, method: string, path: string): HttpRoutes[string] {
  const key = `${method === "HEAD" ? "GET" : method} ${path}`;
  const below = `${key.slice(0, key.lastIndexOf("/"))}/*`;
  const found = [key, below].find((each) => Object.hasOwn(routes, each));
  const handler = found === undefined ? undefined : routes[found];
  if (handler !== undefined) return handler;
  throw new CovoteError(
    "not_found",
    `${method} ${path}: not served here; try ${Object.keys(routes).join(", ")}`,
  );
}

function send(outgoing: ServerResponse, reply: HttpAnswer, headers: Record<string, string> = {}): void {
  const isText = typeof reply.body === "string";
  const body = isText ? (reply.body as string) : `${JSON.stringify(reply.body)}\n`;
  const contentType = reply.contentType ?? (isText ? "text/plain; charset=utf-8" : "application/json");
  outgoing.writeHead(reply.status, {
    "content-type": contentType,
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  outgoing.end(outgoing.req.method === "HEAD" ? undefined : body);
}

function sendError(outgoing: ServerResponse, error: CovoteError): void {
  if (outgoing.headersSent || outgoing.destroyed) {
    outgoing.destroy();
    return;
  }
  const retry: Record<string, string> =
    error.retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(error.retryAfterMs / 1000)) };
  const { code, message, field, retryAfterMs } = error;
  const status = error instanceof BodyTooLarge ? 413 : httpStatus[code];
  // What is left of a body that nobody reads must not be taken for the next request.
  const unread = outgoing.req.complete ? {} : { connection: "close" };
  send(
    outgoing,
    { status, body: { error: { code, message, field, retryAfterMs } } },
    { ...retry, ...unread },
  );
}

function tooMany(inFlight: number): CovoteError {
  return new CovoteError("overloaded", `${inFlight} requests are in flight; retry later`, {
    retryAfterMs: 1000,
  });
}

async function readText(incoming: IncomingMessage, maxBytes: number): Promise<string> {
  if (Number(incoming.headers["content-length"] ?? 0) > maxBytes) throw new BodyTooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new BodyTooLarge(maxBytes);
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    throw new CovoteError("invalid_argument", "body: must be UTF-8 text", { field: "body", cause });
  }
}

function listen(server: Server, options: HttpServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(cannotListen(options.field, options.address, cause)));
    server.listen(options.address.port, options.address.host, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : options.address.port);
    });
  });
}
