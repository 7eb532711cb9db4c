/** gRPC over TLS, with and without certificates of callers: settings in, an answer or one line that names the fix out. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createManualClock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import { silentLogger } from "../../lib/core/logger.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import type { GrpcServer } from "../../lib/host/grpc.js";
import { createGrpcClient } from "../../lib/host/grpc-client.js";
import { type GrpcClientTls, openCallerCredentials } from "../../lib/host/grpc-tls.js";
import { formatAddress } from "../../lib/host/listen.js";
import { RewardServiceService, ScoreRequest, ScoreResponse } from "../../lib/wire/gen/covote/v1/reward.js";
import { noOpenssl, selfSigned } from "../support/certificates.js";
import { connect, serve } from "../support/grpc-rewards.js";
import { covote } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-grpc-tls-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

const { score } = RewardServiceService;
const request = ScoreRequest.create({ requestId: "r1" });
const answering = { score: async () => ScoreResponse.create({ judgmentId: "answered" }) };

async function ask(server: GrpcServer, tls: GrpcClientTls): Promise<string> {
  const client = createGrpcClient({
    address: formatAddress(server.address),
    what: "reward service",
    credentials: await openCallerCredentials(tls, (name) => `--${name}`),
  });
  onTestFinished(() => client.close());
  return (await client.unary(score, request, { timeoutMs: 10_000 })).judgmentId;
}

describe.skipIf(noOpenssl !== undefined)(`TLS${noOpenssl === undefined ? "" : ` (${noOpenssl})`}`, () => {
  beforeAll(() => {
    for (const name of ["server", "renewed", "client", "stranger"]) selfSigned(folder, name);
    selfSigned(folder, "elsewhere", "DNS:elsewhere.example");
    writeFileSync(at("none.pem"), "no certificate\n");
  });
  const own = () => ({ certFile: at("server.crt"), keyFile: at("server.key") });
  const mutual = () => ({ ...own(), caFile: at("client.crt") });
  const trusting = () => ({ caFile: at("server.crt") });
  const shown = (name: string) => ({ certFile: at(`${name}.crt`), keyFile: at(`${name}.key`) });

  test("whoever trusts the server's authority is served", async () => {
    const { server } = await serve(answering, { tls: own() });
    expect(await ask(server, trusting())).toBe("answered");
  });

  test("with an authority of callers only those are served who show its certificate", async () => {
    const { server } = await serve(answering, { tls: mutual() });
    expect(await ask(server, { ...trusting(), ...shown("client") })).toBe("answered");
    await expect(ask(server, trusting())).rejects.toMatchObject({
      code: expect.stringMatching(/failed_pre|unavail/),
    });
    await expect(ask(server, { ...trusting(), ...shown("stranger") })).rejects.toMatchObject({
      code: expect.stringMatching(/failed_pre|unavail/),
    });
  });

  test("a server that is not trusted, or has another name, is not spoken to", async () => {
    const { server } = await serve(answering, { tls: own() });
    await expect(ask(server, {})).rejects.toThrow(
      /has a certificate that is not trusted \(.*\); name its authority/,
    );
    await expect(ask(server, { caFile: at("stranger.crt") })).rejects.toThrow(/not trusted/);
    const { server: other } = await serve(answering, { tls: shown("elsewhere") });
    await expect(ask(other, { caFile: at("elsewhere.crt") })).rejects.toThrow(
      /has a certificate for another host/,
    );
  });

  test("one side with TLS and one without: the line says which", async () => {
    const { server } = await serve(answering, { tls: own() });
    await expect(connect(server).unary(score, request, { timeoutMs: 10_000 })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("cannot reach"),
    });
    const { server: plain } = await serve(answering);
    await expect(ask(plain, trusting())).rejects.toThrow(/has no TLS \(.*\); call it without/);
  });

  test.each<[what: string, tls: () => object, message: RegExp]>([
    [
      "a file that is not there",
      () => ({ ...own(), keyFile: at("gone") }),
      /^grpc\.tls\.keyFile: cannot read .*ENOENT/,
    ],
    [
      "a file that is no PEM",
      () => ({ ...own(), certFile: at("none.pem") }),
      /^grpc\.tls\.certFile: is no PEM/,
    ],
    [
      "a key of another certificate",
      () => ({ ...own(), keyFile: at("client.key") }),
      /^grpc\.tls\.keyFile: does not belong/,
    ],
    [
      "an authority that is none",
      () => ({ ...own(), caFile: at("none.pem") }),
      /^grpc\.tls\.caFile: is no PEM/,
    ],
  ])("%s is refused by the name of the setting", async (_what, tls, message) => {
    const opened = serve(answering, { tls: tls() as { certFile: string; keyFile: string } });
    await expect(opened).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(opened).rejects.toThrow(message);
  });

  test("a renewed certificate is taken up without a restart; files that do not fit are left alone", async () => {
    const tls = { certFile: at("live.crt"), keyFile: at("live.key") };
    const put = (cert: string, key: string): void => {
      copyFileSync(at(`${cert}.crt`), tls.certFile);
      copyFileSync(at(`${key}.key`), tls.keyFile);
    };
    put("server", "server");
    const clock = createManualClock();
    const warned = deferred<string>();
    const log = { ...silentLogger, warn: (_fields: unknown, text: string) => warned.resolve(text) };
    const { server } = await serve(answering, { tls, clock, log: { ...log, child: () => log } as never });
    put("renewed", "server");
    await clock.advance(60_000);
    expect(await warned.promise).toMatch(
      /certificates of before go on serving: grpc\.tls\.keyFile: does not belong/,
    );
    expect(await ask(server, trusting())).toBe("answered");
    put("renewed", "renewed");
    await clock.advance(60_000);
    await expect
      .poll(() => ask(server, { caFile: at("renewed.crt") }).catch(() => "not yet"), { timeout: 10_000 })
      .toBe("answered");
    await expect(ask(server, trusting())).rejects.toThrow(/not trusted/);
  });

  test("covote score and covote status call it with --tls-ca, --tls-cert and --tls-key", async () => {
    const { server } = await serve(answering, { tls: mutual() });
    const address = ["--address", formatAddress(server.address)];
    const files = [
      "--tls-ca",
      at("server.crt"),
      "--tls-cert",
      at("client.crt"),
      "--tls-key",
      at("client.key"),
    ];
    const asking = ["score", "--query", "q", "--response", "r", "--json", ...address];
    expect(await covote([...asking, ...files])).toMatchObject({
      code: 0,
      out: expect.stringContaining("answered"),
    });
    expect(await covote([...asking, "--tls-ca", at("gone")])).toEqual({
      code: 2,
      out: "",
      err: `covote: --tls-ca: cannot read ${at("gone")} (ENOENT); give the path of a PEM file that this user may read\n`,
    });
    expect(await covote(["status", ...address, ...files.slice(0, 4)])).toMatchObject({
      code: 2,
      err: expect.stringContaining("--tls-key: is missing; give it with --tls-cert"),
    });
  });
});

test.each([
  [{ "grpc.tls.certFile": "a" }, "grpc.tls.keyFile: is missing; give the private key of grpc.tls.certFile"],
  [{ "grpc.tls.keyFile": "a" }, "grpc.tls.certFile: is missing; give the certificate of grpc.tls.keyFile"],
  [{ "grpc.tls.caFile": "a" }, "grpc.tls.certFile: is missing; callers can be told apart only over TLS"],
])("half of a configuration is refused: %o", (overrides, line) => {
  expect(() => compileCovoteConfig({ overrides })).toThrow(line);
});
