/**
 * Requests of the NATS client, at a third of their cost: the client makes four promises for each, races two of them,
 * and ends one that was answered with an error that nobody sees.
 *
 * Answers, errors and times stay the client's, which goes on to find the request that an answer, a lack of responders or
 * a refusal belongs to.
 */
import type { MuxSubscription, NatsConnectionImpl, Request } from "@nats-io/nats-core/internal";
import { errors, type Msg } from "@nats-io/transport-node";

const defaultTimeoutMs = 1000;

/** Takes the place of the connection's own `request`, for all that use the connection. */
export function requestCheaply(connection: NatsConnectionImpl): void {
  const { protocol } = connection;
  const original = connection.request.bind(connection);
  let count = 0;
  connection.request = (subject, payload, options) => {
    const { timeout = defaultTimeoutMs, noMux, reply, headers } = options ?? {};
    // The ways that are not used here, and mistakes, are the client's to deal with.
    if (noMux || reply !== undefined || !(timeout >= 1)) return original(subject, payload, options);
    return new Promise((resolve, reject) => {
      const mux = protocol.muxSubscriptions;
      const request = new PendingRequest(mux, subject, String(++count), resolve, reject);
      try {
        connection._check(subject, true, true);
        protocol.request(request);
        request.endAfter(timeout);
        const inbox = `${mux.baseInbox}${request.token}`;
        connection.publish(subject, payload, { reply: inbox, ...(headers === undefined ? {} : { headers }) });
      } catch (thrown) {
        request.cancel(thrown as Error);
      }
    });
  };
}

class PendingRequest implements Request {
  readonly token: string;
  readonly requestSubject: string;
  received = 0;
  readonly #mux: MuxSubscription;
  readonly #resolve: (msg: Msg) => void;
  readonly #reject: (cause: Error) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    mux: MuxSubscription,
    subject: string,
    token: string,
    resolve: (msg: Msg) => void,
    reject: (cause: Error) => void,
  ) {
    this.token = token;
    this.requestSubject = subject;
    this.#mux = mux;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  endAfter(ms: number): void {
    this.#timer = setTimeout(() => this.cancel(new errors.TimeoutError()), ms);
  }

  resolver(error: Error | null, msg: Msg): void {
    if (error === null) {
      this.#leave();
      this.#resolve(msg);
    } else this.cancel(new errors.RequestError(error.message, { cause: error }));
  }

  cancel(cause: Error = new errors.RequestError("cancelled")): void {
    this.#leave();
    this.#reject(cause);
  }

  #leave(): void {
    clearTimeout(this.#timer);
    this.#mux.cancel(this);
  }
}
