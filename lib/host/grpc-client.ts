/**
 * A gRPC client whose calls are promises and async iterables.
 *
 * - Every call has a deadline: its own, or the client's default.
 * - Errors are CovoteErrors with the code, field and retry time that the server sent; a server that cannot be
 *   reached is `unavailable` with its address and the fix.
 * - Only methods named as idempotent are tried again, and only on UNAVAILABLE.
 */
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  credentials,
  logVerbosity,
  Metadata,
  type MethodDefinition,
  setLogVerbosity,
} from "@grpc/grpc-js";
import { type Clock, systemClock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { TraceContext } from "../core/trace-context.js";
import { fromServiceError, isAnswered } from "../wire/status.js";
import { defaultMaxMessageBytes } from "./grpc.js";
import { traceIntoMetadata } from "./trace.js";

export interface GrpcClientOptions {
  /** `host:port`, or a gRPC target such as `dns:///covote-reward:50051`. */
  address: string;
  /** What is called, for errors: "reward service". */
  what: string;
  /** Methods that are safe to send again. */
  idempotent?: readonly { path: string }[];
  /** For calls that bring none; default 30,000. */
  defaultTimeoutMs?: number;
  /** Default 16 MiB. */
  maxMessageBytes?: number;
  /** Made by `openCallerCredentials`; default: without TLS. */
  credentials?: ChannelCredentials;
  clock?: Clock;
}

export interface CallOptions {
  /** Infinity is for streams that live as long as both sides. */
  timeoutMs?: number;
  /** Milliseconds since the Unix epoch; the earlier of the two counts. */
  deadlineAtMs?: number;
  signal?: AbortSignal;
  trace?: TraceContext;
}

export interface GrpcClient {
  readonly address: string;
  unary<Q, A>(method: MethodDefinition<Q, A>, request: Q, options?: CallOptions): Promise<A>;
  /** Leaving the loop over the answers cancels the call. */
  serverStream<Q, A>(method: MethodDefinition<Q, A>, request: Q, options?: CallOptions): AsyncIterable<A>;
  bidi<Q, A>(
    method: MethodDefinition<Q, A>,
    requests: AsyncIterable<Q>,
    options?: CallOptions,
  ): AsyncIterable<A>;
  /** Resolves when the connection stands, or throws `unavailable`. */
  connected(timeoutMs: number): Promise<void>;
  close(): void;
}

const defaultTimeoutMs = 30_000;

export function createGrpcClient(options: GrpcClientOptions): GrpcClient {
  setLogVerbosity(logVerbosity.NONE);
  const clock = options.clock ?? systemClock();
  const { address, what } = options;
  const client = new Client(
    address,
    options.credentials ?? credentials.createInsecure(),
    channelOptions(options),
  );

  const callOptions = (call: CallOptions): { deadline: number } => {
    const standard =
      call.deadlineAtMs === undefined ? (options.defaultTimeoutMs ?? defaultTimeoutMs) : Infinity;
    const fromNow = clock.now() + (call.timeoutMs ?? standard);
    return { deadline: Math.min(fromNow, call.deadlineAtMs ?? Infinity) };
  };
  const unreachable = (cause: unknown): CovoteError =>
    new CovoteError(
      "unavailable",
      `${what}: cannot reach ${address}; start it, or give the address of one that runs`,
      { cause },
    );
  const explain = (thrown: unknown, signal: AbortSignal | undefined): CovoteError => {
    const error = fromServiceError(thrown);
    const untrusted = tlsProblem(error);
    if (untrusted !== null) {
      return new CovoteError("failed_precondition", `${what}: ${address} ${untrusted}`, { cause: thrown });
    }
    // The client's own text when there is no connection; a server's text is kept.
    const noConnection = /^(?:\w+: )?(No connection established|Name resolution failed|.*ECONNREFUSED)/;
    if (error.code === "unavailable" && noConnection.test(error.message)) return unreachable(thrown);
    if (error.code === "cancelled" && signal?.aborted) return CovoteError.from(signal.reason);
    // Nobody here cancelled and the server did not say so: it was cut off while it answered.
    if (error.code === "cancelled" && !isAnswered(thrown)) {
      return new CovoteError("unavailable", `${what}: ${address} went away during the call`, {
        cause: thrown,
      });
    }
    return error;
  };

  async function* answersOf<A>(
    stream: AsyncIterable<A> & { cancel(): void },
    signal: AbortSignal | undefined,
  ): AsyncIterable<A> {
    const cancel = (): void => stream.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      yield* stream;
    } catch (thrown) {
      throw explain(thrown, signal);
    } finally {
      signal?.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  return {
    address,
    unary: <Q, A>(method: MethodDefinition<Q, A>, request: Q, call: CallOptions = {}) =>
      new Promise<A>((resolve, reject) => {
        if (call.signal?.aborted) return reject(CovoteError.from(call.signal.reason));
        const cancel = (): void => running.cancel();
        const running = client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          metadataOf(call),
          callOptions(call),
          (error, answer) => {
            call.signal?.removeEventListener("abort", cancel);
            if (error !== null) reject(explain(error, call.signal));
            else resolve(answer as A);
          },
        );
        call.signal?.addEventListener("abort", cancel, { once: true });
      }),
    serverStream: <Q, A>(method: MethodDefinition<Q, A>, request: Q, call: CallOptions = {}) => {
      call.signal?.throwIfAborted();
      const { path, requestSerialize, responseDeserialize } = method;
      const stream = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadataOf(call),
        callOptions(call),
      );
      return answersOf<A>(stream as typeof stream & AsyncIterable<A>, call.signal);
    },
    bidi: <Q, A>(method: MethodDefinition<Q, A>, requests: AsyncIterable<Q>, call: CallOptions = {}) => {
      call.signal?.throwIfAborted();
      const { path, requestSerialize, responseDeserialize } = method;
      const stream = client.makeBidiStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        metadataOf(call),
        callOptions(call),
      );
      return duplex(stream, requests, answersOf<A>(stream as typeof stream & AsyncIterable<A>, call.signal));
    },
    connected: (timeoutMs) =>
      new Promise((resolve, reject) => {
        client.waitForReady(clock.now() + timeoutMs, (error) => {
          if (error === undefined || error === null) resolve();
          else reject(unreachable(error));
        });
      }),
    close: () => client.close(),
  };
}

/** What to mend when it was the encryption that failed; null when it was not. */
function tlsProblem({ code, message }: CovoteError): string | null {
  if (code !== "unavailable" || !/^(?:\w+: )?No connection established/.test(message)) return null;
  const last = (message.split("Last error:").at(-1) ?? "").replace(/Resolution note:.*/s, "").trim();
  const why = /SSL routines:[^:]*:([^:]+)/.exec(last)?.[1] ?? last.replace(/^Error: |\.$/g, "");
  if (/altnames/.test(why)) return `has a certificate for another host (${why}); call it by a name in there`;
  if (/alert.*(certificate|unknown ca)/i.test(why)) {
    return `does not accept our certificate (${why}); show one of an authority that it trusts`;
  }
  if (/certificate/i.test(why)) return `has a certificate that is not trusted (${why}); name its authority`;
  if (/wrong version number|packet length too long/.test(why)) return `has no TLS (${why}); call it without`;
  return null;
}

function metadataOf(call: CallOptions): Metadata {
  const metadata = new Metadata();
  if (call.trace !== undefined) traceIntoMetadata(call.trace, metadata);
  return metadata;
}

/** The answers, with the requests being sent beside; requests that fail fail the call with their own error. */
async function* duplex<Q, A>(
  stream: ClientDuplexStream<Q, A>,
  requests: AsyncIterable<Q>,
  answers: AsyncIterable<A>,
): AsyncIterable<A> {
  let failure: { cause: unknown } | undefined;
  const sending = sendAll(stream, requests).catch((cause: unknown) => {
    failure = { cause };
    stream.cancel();
  });
  try {
    yield* answers;
  } catch (thrown) {
    throw failure === undefined ? thrown : CovoteError.from(failure.cause);
  }
  void sending;
}

async function sendAll<Q>(stream: ClientDuplexStream<Q, unknown>, requests: AsyncIterable<Q>): Promise<void> {
  const closed = new Promise<void>((resolve) =>
    stream.once("close", resolve).once("status", () => resolve()),
  );
  for await (const request of requests) {
    if (stream.destroyed || stream.writableEnded) return;
    if (stream.write(request)) continue;
    await Promise.race([closed, new Promise<void>((resolve) => stream.once("drain", resolve))]);
  }
  stream.end();
}

function channelOptions(options: GrpcClientOptions): ChannelOptions {
  const maxBytes = options.maxMessageBytes ?? defaultMaxMessageBytes;
  const retry = {
    maxAttempts: 4,
    initialBackoff: "0.1s",
    maxBackoff: "2s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  const name = (options.idempotent ?? []).map(({ path }) => {
    const [, service, method] = path.split("/");
    return { service, method };
  });
  const serviceConfig = {
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: name.length === 0 ? [] : [{ name, retryPolicy: retry }],
  };
  return {
    "grpc.max_receive_message_length": maxBytes,
    "grpc.max_send_message_length": maxBytes,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 10_000,
    "grpc.dns_min_time_between_resolutions_ms": 5_000,
    "grpc.enable_channelz": 0,
    "grpc.service_config": JSON.stringify(serviceConfig),
  };
}
