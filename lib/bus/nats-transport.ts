/**
 * The NATS client's connection over TCP, without what costs more than the messages it belongs to, and with a reason
 * that it forgets.
 *
 * - The client hands over what it has at the next microtask, so a turn of the event loop in which several
 *   things happen ends in several writes. Here the socket is corked at the first write of a turn and uncorked
 *   at its end: one write, in the same order.
 * - Requests are those of nats-requests.ts.
 * - With TLS 1.3 a server refuses a client's certificate after the handshake. The client then waits until its time is
 *   over and says no more than that; here the error has the socket's last one as its cause.
 */
import { NatsConnectionImpl, setTransportFactory } from "@nats-io/nats-core/internal";
import type { NatsConnection, NodeConnectionOptions } from "@nats-io/transport-node";
// The client keeps its transport to itself; the versions of both packages are pinned.
import { NodeTransport, nodeResolveHost } from "@nats-io/transport-node/lib/node_transport.js";
import { requestCheaply } from "./nats-requests.js";

class TurnwiseTransport extends NodeTransport {
  #corked = false;
  readonly #lost: (cause: Error) => void;

  /** `lost` is told why the socket failed after it was connected. */
  constructor(lost: (cause: Error) => void) {
    super();
    this.#lost = lost;
  }

  override async connect(...args: Parameters<NodeTransport["connect"]>): Promise<void> {
    await super.connect(...args);
    this.socket?.once("error", this.#lost);
  }

  override send(frame: Uint8Array): void {
    const { socket } = this;
    if (!this.#corked && socket !== undefined) {
      this.#corked = true;
      socket.cork();
      setImmediate(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    super.send(frame);
  }

  /** Closing destroys the socket; what was sent in this turn should not go with it. */
  override close(cause?: Error): Promise<void> {
    this.socket?.uncork();
    return super.close(cause);
  }
}

/** As `connect` of the client. */
export async function connectTurnwise(options: NodeConnectionOptions): Promise<NatsConnection> {
  let lost: Error | undefined;
  const factory = () => new TurnwiseTransport((cause) => (lost = cause));
  setTransportFactory({ factory, dnsResolveFn: nodeResolveHost });
  const nc = await NatsConnectionImpl.connect(options).catch((cause: Error) => {
    throw lost === undefined ? cause : new Error(cause.message, { cause: lost });
  });
  requestCheaply(nc as NatsConnectionImpl);
  return nc;
}
