/**
 * HTTP to one inference server: requests with a JSON body, answers as bounded text.
 *
 * - Every request ends by its own limit at the latest: connecting, the whole answer, and the silence within a body
 *   are bounded apart. Aborting closes the connection, which is how servers notice that nobody waits any more.
 * - What the network does is a CovoteError: `unavailable` (refused, reset, cut off), `deadline_exceeded`, `cancelled`.
 *   An HTTP status is an answer, not an error.
 * - The API key stands in a header that nothing here prints.
 *
 * Node's own client instead of `fetch`: that one gives up on answers which take longer than five minutes to begin,
 * as a long judgment without streaming does, and cannot tell a slow connect from a slow answer.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Clock, Timer } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";

export interface ServerHttpOptions {
  /** `http://host:8000`, with or without `/v1` at its end. */
  url: string;
  apiKey: string | null;
  /** PEM of the authority that signed the server's certificate; null: the usual public ones. */
  ca: string | null;
  connectTimeoutMs: number;
  clock: Clock;
}

export interface ServerRequest {
  method: "GET" | "POST";
  /** Below the server's root: `/v1/models`, `/metrics`. */
  path: string;
  body?: unknown;
  /** For the whole exchange, in milliseconds. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** W3C trace context that the server may go on with. */
  traceparent?: string | undefined;
}

export interface ServerAnswer {
  status: number;
  headers: Readonly<IncomingMessage["headers"]>;
  text: string;
}

export interface ServerHttp {
  /** `host:port`, for messages and metrics. */
  readonly name: string;
  send(request: ServerRequest): Promise<ServerAnswer>;
  close(): void;
}

/** A judgment with the log-probability of every token is some megabytes at most. */
const maxAnswerBytes = 64 * 1024 * 1024;
/** Silence in the middle of a body that has begun. */
const bodySilenceMs = 15_000;
const keepAliveMs = 30_000;

export function createServerHttp(options: ServerHttpOptions): ServerHttp {
  const { apiKey, ca, connectTimeoutMs, clock } = options;
  const url = new URL(options.url);
  const secure = url.protocol === "https:";
  const root = url.pathname.replace(/\/+$/, "").replace(/\/v1$/, "");
  const keeping = { keepAlive: true, keepAliveMsecs: keepAliveMs, maxSockets: Infinity, maxFreeSockets: 256 };
  const agent = secure
    ? new HttpsAgent({ ...keeping, ...(ca === null ? {} : { ca }) })
    : new HttpAgent(keeping);
  const name = url.host;

  const once = (request: ServerRequest, fresh: boolean): Promise<ServerAnswer> =>
    new Promise((resolve, reject) => {
      const { method, path, body, timeoutMs, signal, traceparent } = request;
      if (signal?.aborted) return reject(cancelled(signal));
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const headers: Record<string, string | number> = { accept: "application/json" };
      if (payload !== undefined) {
        headers["content-type"] = "application/json";
        headers["content-length"] = Buffer.byteLength(payload);
      }
      if (traceparent !== undefined) headers.traceparent = traceparent;
      if (apiKey !== null) headers.authorization = `Bearer ${apiKey}`;
      const timers: Timer[] = [];
      let silence: Timer | undefined;
      let ended = false;
      const end = (settle: () => void): void => {
        if (ended) return;
        ended = true;
        for (const timer of timers) timer.cancel();
        silence?.cancel();
        signal?.removeEventListener("abort", abort);
        settle();
      };
      const fail = (error: CovoteError): void => {
        end(() => reject(error));
        outgoing.destroy();
      };
      const abort = (): void => fail(cancelled(signal));
      const late = (what: string, ms: number) => (): void =>
        fail(new CovoteError("deadline_exceeded", `${name}: ${what} within ${ms} ms`));

      const send = secure ? httpsRequest : httpRequest;
      const outgoing = send(
        {
          ...{ method, headers, agent: fresh ? false : agent },
          ...(fresh && ca !== null ? { ca } : {}),
          hostname: url.hostname.replace(/^\[|\]$/g, ""),
          port: url.port === "" ? (secure ? 443 : 80) : url.port,
          path: `${root}${path}`,
        },
        (answer) => receive(answer),
      );
      const receive = (answer: IncomingMessage): void => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        const listen = (): void => {
          silence?.cancel();
          silence = clock.after(
            bodySilenceMs,
            late("the answer went silent; nothing more came", bodySilenceMs),
          );
        };
        listen();
        answer.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > maxAnswerBytes) {
            fail(
              new CovoteError("unavailable", `${name}: the answer is longer than ${maxAnswerBytes} bytes`),
            );
            return;
          }
          chunks.push(chunk);
          if (!answer.complete) listen();
        });
        answer.on("end", () => {
          if (!answer.complete) return cutOff();
          const text = Buffer.concat(chunks).toString("utf8");
          end(() => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
        });
        answer.on("aborted", () => cutOff());
        answer.on("error", (cause) => cutOff(cause));
      };
      const cutOff = (cause?: unknown): void =>
        fail(
          new CovoteError("unavailable", `${name}: the connection was cut in the middle of an answer`, {
            cause,
          }),
        );

      outgoing.on("socket", (socket) => {
        if (!socket.connecting) return;
        const timer = clock.after(connectTimeoutMs, late("no connection", connectTimeoutMs));
        timers.push(timer);
        socket.once(secure ? "secureConnect" : "connect", () => timer.cancel());
      });
      outgoing.on("error", (cause: NodeJS.ErrnoException) => {
        // The server had closed the kept connection before it saw the request: nothing has begun.
        const stale = outgoing.reusedSocket && !fresh && cause.code === "ECONNRESET";
        if (stale && !ended) {
          end(() => void once(request, true).then(resolve, reject));
          return;
        }
        fail(unreachable(name, cause));
      });
      timers.push(clock.after(timeoutMs, late("no answer", timeoutMs)));
      signal?.addEventListener("abort", abort, { once: true });
      outgoing.end(payload);
    });

  return { name, send: (request) => once(request, false), close: () => agent.destroy() };
}

function cancelled(signal: AbortSignal | undefined): CovoteError {
  return new CovoteError("cancelled", "the request was cancelled", { cause: signal?.reason });
}

function unreachable(name: string, cause: NodeJS.ErrnoException): CovoteError {
  const why = cause.code ?? cause.message;
  const certificate = /CERT|SSL|TLS|SELF_SIGNED|ALTNAME/.test(why);
  const fix = certificate
    ? "its certificate is not trusted; name its authority as engine.caFile"
    : "start the server, or correct engine.endpoints";
  return new CovoteError("unavailable", `${name}: cannot be reached (${why}); ${fix}`, { cause });
}
