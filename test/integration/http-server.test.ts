import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError, type ErrorCode, errorCodes } from "../../lib/core/errors.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createHealth } from "../../lib/host/health.js";
import { createHttpServer, type HttpRoutes, httpStatus, opsRoutes } from "../../lib/host/http.js";
import { formatAddress } from "../../lib/host/listen.js";
import { createMetrics } from "../../lib/host/metrics.js";

const clock = systemClock();
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function serve(routes: HttpRoutes) {
  const server = await createHttpServer({
    address: { host: "127.0.0.1", port: 0 },
    field: "http.address",
    routes,
    log: silentLogger,
  });
  closers.push(() => server.stop(deadlineIn(clock, 0)));
  return { server, url: `http://${formatAddress(server.address)}` };
}

const echo: HttpRoutes = {
  "POST /echo": async (request) => ({
    status: 200,
    body: { text: await request.text(16), q: request.query.get("q") },
  }),
};

describe("operations", () => {
  test("/metrics, /healthz and /readyz; a live process that is not ready says why", async () => {
    const metrics = createMetrics({ service: "grm-worker" });
    const health = createHealth();
    metrics.counter({ name: "covote_votes_total", help: "Votes." }).inc(1);
    const { url } = await serve(opsRoutes(metrics, health));

    health.setReady("bus", false, "NATS is not reachable");
    const notReady = await fetch(`${url}/readyz`);
    expect([notReady.status, await notReady.text()]).toEqual([503, "bus: NATS is not reachable\n"]);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);

    health.setReady("bus", true);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);

    const scrape = await fetch(`${url}/metrics`);
    expect(scrape.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await scrape.text()).toContain('covote_votes_total{service="grm-worker"} 1');
  });
});

describe("requests", () => {
  test("beyond maxInFlight a request is told to come back, before its body is read", async () => {
    const held = deferred<void>();
    const server = await createHttpServer({
      address: { host: "127.0.0.1", port: 0 },
      field: "http.address",
      routes: {
        "GET /slow": async () => {
          await held.promise;
          return { status: 200, body: "done" };
        },
      },
      log: silentLogger,
      maxInFlight: 1,
    });
    closers.push(() => server.stop(deadlineIn(clock, 0)));
    const url = `http://${formatAddress(server.address)}/slow`;
    const both = [fetch(url), fetch(url)];
    const refused = await Promise.race(both);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    held.resolve();
    const statuses = (await Promise.all(both)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([200, 429]);
    expect((await fetch(url)).status).toBe(200);
  });

  test("a path that ends in /* serves all below it, exact paths first", async () => {
    const says = (body: string) => async () => ({ status: 200, body });
    const { url } = await serve({ "GET /things/*": says("any"), "GET /things/one": says("one") });
    const texts = ["one", "two"].map(async (name) => (await fetch(`${url}/things/${name}`)).text());
    expect(await Promise.all(texts)).toEqual(["one", "any"]);
    expect((await fetch(`${url}/things`)).status).toBe(404);
  });

  test("a body and a query arrive, and an object is answered as JSON", async () => {
    const { url } = await serve(echo);
    const answer = await fetch(`${url}/echo?q=1`, { method: "POST", body: "größe" });
    expect([answer.status, await answer.json()]).toEqual([200, { text: "größe", q: "1" }]);
  });

  test.each([
    ["that is too long", "x".repeat(17), 413, "body: must be at most 16 bytes"],
    ["that is not UTF-8", Uint8Array.of(0xff, 0xfe), 400, "body: must be UTF-8 text"],
  ])("a body %s is refused", async (_what, body, status, message) => {
    const { url } = await serve(echo);
    const answer = await fetch(`${url}/echo`, { method: "POST", body });
    expect([answer.status, await answer.json()]).toEqual([
      status,
      { error: { code: "invalid_argument", field: "body", message } },
    ]);
  });

  test("an unknown path says what there is", async () => {
    const { url } = await serve(echo);
    const answer = await fetch(`${url}/toString`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({
      error: { message: "GET /toString: not served here; try POST /echo" },
    });
  });

  test("overload says when to come back", async () => {
    const { url } = await serve({
      "GET /": async () => {
        throw new CovoteError("overloaded", "judgments: queue is full", { retryAfterMs: 1_200 });
      },
    });
    const answer = await fetch(url);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "2"]);
  });

  test("every code has a status of its class", () => {
    for (const code of Object.keys(errorCodes) as ErrorCode[])
      expect(httpStatus[code]).toBeGreaterThanOrEqual(400);
  });

  test("a client that goes away aborts the handler", async () => {
    const started = deferred<void>();
    const gone = deferred<unknown>();
    const { server } = await serve({
      "GET /slow": async ({ signal }) => {
        started.resolve();
        signal.addEventListener("abort", () => gone.resolve(signal.reason));
        await gone.promise;
        return { status: 200, body: "late" };
      },
    });
    const call = httpRequest({ ...server.address, path: "/slow" });
    call.on("error", () => {});
    call.end();
    await started.promise;
    call.destroy();
    expect(await gone.promise).toMatchObject({ code: "cancelled" });
  });
});

describe("stop", () => {
  test("a request that runs is finished", async () => {
    const started = deferred<void>();
    const gate = deferred<void>();
    const { server, url } = await serve({
      "GET /slow": async () => {
        started.resolve();
        await gate.promise;
        return { status: 200, body: "done" };
      },
    });
    const answer = fetch(`${url}/slow`);
    await started.promise;
    const stopped = server.stop(deadlineIn(clock, 10_000));
    gate.resolve();
    expect(await (await answer).text()).toBe("done");
    await stopped;
    await expect(fetch(url)).rejects.toThrow();
  });

  test("one that hangs is cut off at the deadline", async () => {
    const started = deferred<void>();
    const { server, url } = await serve({
      "GET /hang": () => {
        started.resolve();
        return new Promise(() => {});
      },
    });
    const answer = expect(fetch(`${url}/hang`)).rejects.toThrow();
    await started.promise;
    await server.stop(deadlineIn(clock, 100));
    await answer;
  });
});

test("a used port is one line that names the setting and the fix", async () => {
  const { server } = await serve(echo);
  const again = createHttpServer({
    address: server.address,
    field: "metrics.port",
    routes: {},
    log: silentLogger,
  });
  await expect(again).rejects.toMatchObject({
    code: "failed_precondition",
    field: "metrics.port",
    message: expect.stringMatching(/^metrics\.port: 127\.0\.0\.1:\d+ is in use; /),
  });
});
