/**
 * Handlers of gRPC calls as plain asynchronous functions: `unary`, `serverStream`, `bidi`.
 *
 * - A handler gets the request and a `CallContext`; what it throws becomes a status by the table of CovoteError.
 * - `signal` aborts when the client cancels, when the connection goes, and at the call's deadline.
 * - Streams honour back-pressure: the handler goes on when the client has taken what it was sent.
 * - A handler that does not heed the signal does not keep the call open.
 */
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
} from "@grpc/grpc-js";
import { type Clock, systemClock } from "../core/clock.js";
import { type Deadline, deadlineAt } from "../core/deadline.js";
import { CovoteError, errorCodes } from "../core/errors.js";
import { type Logger, silentLogger } from "../core/logger.js";
import { parseTraceparent, type TraceContext } from "../core/trace-context.js";
import type { Span, Tracer } from "../core/tracer.js";
import { toServiceError } from "../wire/status.js";
import { accepted } from "./grpc-requests.js";
import { callerTrace, traceFromMetadata } from "./trace.js";

export interface CallContext {
  readonly signal: AbortSignal;
  /** The client's; `atMs` is Infinity when it set none. */
  readonly deadline: Deadline;
  /** The span of this call. */
  readonly trace: TraceContext;
  readonly metadata: Metadata;
  readonly peer: string;
}

/** What the server that a handler is mounted on brings to each call. */
export interface CallScope {
  clock: Clock;
  log: Logger;
  tracer: Tracer | null;
  /** Called when a call starts; what it returns is called once when it ends, with the error if there was one. */
  begin(path: string): (error?: CovoteError) => void;
}

type MountedUnary<Q, A> = (
  call: ServerUnaryCall<Q, A>,
  callback: Parameters<handleUnaryCall<Q, A>>[1],
  scope?: CallScope,
) => void;
type MountedStream<C> = (call: C, none?: undefined, scope?: CallScope) => void;

export function unary<Q, A>(handler: (request: Q, context: CallContext) => Promise<A>): MountedUnary<Q, A> {
  return (call, callback, scope = bareScope) => {
    const open = openCall(call, scope);
    void untilAborted(open.context.signal, () => handler(accepted(call.request), open.context))
      .then((answer) => {
        open.end();
        callback(null, answer);
      })
      .catch((thrown: unknown) => callback(open.fail(thrown)));
  };
}

export function serverStream<Q, A>(
  handler: (request: Q, context: CallContext) => AsyncIterable<A>,
): MountedStream<ServerWritableStream<Q, A>> & handleServerStreamingCall<Q, A> {
  return (call: ServerWritableStream<Q, A>, _none?: undefined, scope: CallScope = bareScope) => {
    const open = openCall(call, scope);
    const answers = async function* (): AsyncIterable<A> {
      yield* handler(accepted(call.request), open.context);
    };
    void sendAll(call, answers(), open);
  };
}

export function bidi<Q, A>(
  handler: (requests: AsyncIterable<Q>, context: CallContext) => AsyncIterable<A>,
): MountedStream<ServerDuplexStream<Q, A>> & handleBidiStreamingCall<Q, A> {
  return (call: ServerDuplexStream<Q, A>, _none?: undefined, scope: CallScope = bareScope) => {
    const open = openCall(call, scope);
    // The usual iterator destroys the whole call when the client has sent all, answers included.
    const incoming = call.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Q>;
    const requests = abortable(allAccepted(incoming), open.context.signal);
    void sendAll(call, handler(requests, open.context), open);
  };
}

async function* allAccepted<Q>(requests: AsyncIterableIterator<Q>): AsyncIterable<Q> {
  for await (const request of requests) yield accepted(request);
}

const bareScope: CallScope = {
  clock: systemClock(),
  log: silentLogger,
  tracer: null,
  begin: () => () => {},
};

interface OpenCall {
  context: CallContext;
  end(): void;
  fail(thrown: unknown): ReturnType<typeof toServiceError>;
}

type AnyCall = Pick<
  ServerUnaryCall<unknown, unknown>,
  "getDeadline" | "getPath" | "getPeer" | "metadata" | "cancelled"
> & { on(event: "cancelled", listener: () => void): unknown };

/**
 * The client's own timer ends the call at its deadline, which is ours less the time that the request was on its
 * way, in milliseconds; what is cancelled that shortly before the deadline ran into it.
 */
const transitMs = 50;

function openCall(call: AnyCall, scope: CallScope): OpenCall {
  const asked = call.getDeadline();
  const deadline = deadlineAt(scope.clock, asked instanceof Date ? asked.getTime() : asked);
  const span = scope.tracer === null ? null : spanOf(scope.tracer, call);
  const trace = (span && parseTraceparent(span.traceparent)) ?? traceFromMetadata(call.metadata);
  const aborter = new AbortController();
  const ended = scope.begin(call.getPath());
  let over = false;
  const abort = (code: "cancelled" | "deadline_exceeded"): void => {
    // A call that has ended is told that it was cancelled, too.
    if (over) return;
    const what =
      code === "cancelled"
        ? "the client cancelled the call or went away"
        : "the deadline of the call has passed";
    aborter.abort(new CovoteError(code, what));
  };
  const timer = Number.isFinite(deadline.atMs)
    ? scope.clock.after(deadline.remainingMs(), () => abort("deadline_exceeded"), { background: true })
    : undefined;
  call.on("cancelled", () => abort(deadline.remainingMs() <= transitMs ? "deadline_exceeded" : "cancelled"));
  if (call.cancelled) abort("cancelled");
  const finish = (error?: CovoteError): void => {
    if (over) return;
    over = true;
    timer?.cancel();
    ended(error);
    span?.set({ "rpc.grpc.status_code": error === undefined ? 0 : errorCodes[error.code].grpc });
    span?.end(error);
  };
  return {
    context: { signal: aborter.signal, deadline, trace, metadata: call.metadata, peer: call.getPeer() },
    end: () => finish(),
    fail: (thrown) => {
      const error = CovoteError.from(thrown);
      if (error.code === "internal" && !over) {
        scope.log.error({ method: call.getPath(), trace_id: trace.traceId, error }, error.message);
      }
      finish(error);
      return toServiceError(error);
    },
  };
}

/** Names and attributes as OpenTelemetry's conventions for RPC have them. */
function spanOf(tracer: Tracer, call: Pick<AnyCall, "getPath" | "metadata">): Span | null {
  const path = call.getPath().slice(1);
  const [service, method] = path.split("/");
  return tracer.start(path, {
    kind: "server",
    parent: callerTrace(call.metadata),
    attributes: { "rpc.system": "grpc", "rpc.service": service, "rpc.method": method },
  });
}

async function sendAll<A>(
  call: ServerWritableStream<unknown, A> | ServerDuplexStream<unknown, A>,
  answers: AsyncIterable<A>,
  open: OpenCall,
): Promise<void> {
  const { signal } = open.context;
  try {
    for await (const answer of abortable(answers, signal)) {
      if (!call.write(answer)) await drained(call, signal);
    }
    open.end();
    call.end();
  } catch (thrown) {
    const error = open.fail(thrown);
    // A destroyed stream has nobody to tell, and an "error" event on it would be nobody's either.
    if (!call.destroyed) call.emit("error", error);
  }
}

interface Drains {
  once(event: "drain", listener: () => void): unknown;
  removeListener(event: "drain", listener: () => void): unknown;
}

function drained(call: Drains, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    };
    const onAbort = (): void => {
      call.removeListener("drain", onDrain);
      reject(signal.reason);
    };
    if (signal.aborted) return reject(signal.reason);
    call.once("drain", onDrain);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** The work's result, or the signal's reason as soon as it aborts. */
function untilAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const succeed = (value: T): void => {
      signal.removeEventListener("abort", onAbort);
      resolve(value);
    };
    const fail = (cause: unknown): void => {
      signal.removeEventListener("abort", onAbort);
      reject(cause);
    };
    // A handler that throws before its first await must fail the call, not the process.
    try {
      work().then(succeed, fail);
    } catch (thrown) {
      fail(thrown);
    }
  });
}

/** The same items; throws the signal's reason as soon as it aborts, even when the source does not move. */
async function* abortable<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  const iterator = source[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      const next = await untilAborted(signal, () => iterator.next());
      if (next.done === true) {
        finished = true;
        return;
      }
      yield next.value;
    }
  } finally {
    // Lets the source clean up; not awaited, because a source that hangs would hang the call with it.
    if (!finished) void iterator.return?.().catch(() => {});
  }
}
