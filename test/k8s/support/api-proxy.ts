/**
 * Stands between one client and the API server: passes requests on, or answers in its stead as a server in trouble
 * does; keeps a list of what was asked. It shows the API server's own certificate.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

export type Trouble =
  | { t: "none" }
  /** Connections end at once. */
  | { t: "down" }
  /** Requests get no answer, and open ones no more data. */
  | { t: "silent" }
  /** Every answer is this status. */
  | { t: "errors"; status: number }
  /** Every answer takes so much longer. */
  | { t: "slow"; ms: number };

export interface Asked {
  readonly method: string;
  readonly path: string;
  /** Null as long as there is no answer. */
  status: number | null;
  readonly atMs: number;
}

export interface ApiProxy extends AsyncDisposable {
  readonly url: string;
  /** From now on; `down` and `silent` also end or stall what is open. */
  trouble(trouble: Trouble): void;
  readonly asked: readonly Asked[];
  /** Requests that were to change something, and did. */
  writes(): Asked[];
}

export async function openApiProxy(target: { server: string; cert: string; key: string }): Promise<ApiProxy> {
  const asked: Asked[] = [];
  const sockets = new Set<Duplex>();
  const streams = new Set<IncomingMessage>();
  let trouble: Trouble = { t: "none" };

  const pass = (request: IncomingMessage, response: ServerResponse, entry: Asked): void => {
    const { host: _host, ...headers } = request.headers;
    const onward = httpsRequest(new URL(request.url ?? "/", target.server), {
      method: request.method,
      headers,
      ca: target.cert,
      agent: false,
    });
    onward.once("response", (answer) => {
      streams.add(answer);
      answer.once("close", () => streams.delete(answer));
      entry.status = answer.statusCode ?? 502;
      response.writeHead(entry.status, answer.headers);
      answer.pipe(response);
      answer.once("error", () => response.destroy());
    });
    onward.once("error", () => response.destroy());
    response.once("close", () => onward.destroy());
    request.pipe(onward);
  };

  const { cert, key } = target;
  const server = createServer({ cert, key }, (request, response) => {
    const entry: Asked = {
      method: request.method ?? "",
      path: request.url ?? "",
      status: null,
      atMs: performance.now(),
    };
    asked.push(entry);
    switch (trouble.t) {
      case "none":
        return pass(request, response, entry);
      case "slow": {
        const timer = setTimeout(() => pass(request, response, entry), trouble.ms);
        response.once("close", () => clearTimeout(timer));
        return;
      }
      case "errors": {
        entry.status = trouble.status;
        const body = { kind: "Status", apiVersion: "v1", status: "Failure", code: trouble.status };
        response.writeHead(trouble.status, { "content-type": "application/json" });
        response.end(JSON.stringify({ ...body, reason: "InternalError", message: "etcdserver: no leader" }));
        return;
      }
      case "silent":
        return;
      case "down":
        response.destroy();
    }
  });
  server.on("connection", (socket) => {
    if (trouble.t === "down") return socket.destroy();
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    trouble: (next) => {
      trouble = next;
      if (next.t === "down") for (const socket of sockets) socket.destroy();
      if (next.t === "silent") for (const stream of streams) stream.pause();
    },
    asked,
    writes: () =>
      asked.filter(
        ({ method, status }) => method !== "GET" && status !== null && status >= 200 && status < 300,
      ),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
