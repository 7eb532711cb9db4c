/** A NATS that demands a user's nkey, TLS, or both: settings in, a bus or one line that names the setting out. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/nats-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NatsBus } from "../../lib/bus/open-bus.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { natsAccess } from "../../lib/runtime/nats-settings.js";
import { noOpenssl, selfSigned } from "../support/certificates.js";
import { bytes, freshCluster, nextEvent, startNats, type TestNats, text } from "../support/nats.js";
import { type ModelFolders, writePostcardsModels } from "../support/postcards-models.js";
import { covote, fakeTerminal } from "../support/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "covote-access-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

const user = nkeys.createUser();
const stranger = nkeys.createUser();
const seeds = { "user.nk": user, "stranger.nk": stranger };
for (const [name, pair] of Object.entries(seeds)) writeFileSync(at(name), `${text(pair.getSeed())}\n`);
writeFileSync(at("none.nk"), "not a seed\n");
writeFileSync(at("none.creds"), "-----BEGIN NATS USER JWT-----\n");
const authorization = [`authorization { users: [{ nkey: ${user.getPublicKey()} }] }`];

/** The bus that the configuration opens. */
function busWith(nats: TestNats, settings: Record<string, string>): Promise<NatsBus> {
  const config = compileCovoteConfig({ overrides: { "nats.url": nats.url, ...settings } });
  return nats.bus({ cluster: freshCluster(), ...natsAccess(config) });
}

/** Whether it gets an item of work that it sends itself. */
async function worksWith(nats: TestNats, settings: Record<string, string>): Promise<boolean> {
  const bus = await busWith(nats, settings);
  const data = await new Promise<string>((resolve) => {
    bus.work("rollouts", { concurrency: 1 }, async (item) => resolve(text(item.data)));
    void bus.enqueue("rollouts", bytes("work"), { id: "one" });
  });
  return data === "work";
}

describe("an nkey", () => {
  let nats: TestNats;
  beforeAll(async () => {
    nats = await startNats({ extraConfig: authorization });
  });
  afterAll(() => nats[Symbol.asyncDispose]());

  test("of a user that the server knows opens a bus, also with a prefix for replies", async () => {
    expect(await worksWith(nats, { "nats.nkeySeedFile": at("user.nk") })).toBe(true);
    const prefixed = { "nats.nkeySeedFile": at("user.nk"), "nats.inboxPrefix": "_INBOX_covote.one" };
    expect(await worksWith(nats, prefixed)).toBe(true);
  });

  test.each<[what: string, settings: Record<string, string>, error: object]>([
    ["no user", {}, { code: "failed_precondition", message: expect.stringContaining("refuses this user") }],
    [
      "a stranger",
      { "nats.nkeySeedFile": at("stranger.nk") },
      { code: "failed_precondition", message: expect.stringContaining("refuses this user") },
    ],
    [
      "a file that is not there",
      { "nats.nkeySeedFile": at("gone.nk") },
      {
        code: "invalid_argument",
        field: "nats.nkeySeedFile",
        message: `nats.nkeySeedFile: cannot read ${at("gone.nk")} (ENOENT); give the path of a file that this user may read`,
      },
    ],
    [
      "a folder for a file",
      { "nats.credsFile": folder },
      {
        code: "invalid_argument",
        message: `nats.credsFile: cannot read ${folder} (EISDIR); give the path of a file that this user may read`,
      },
    ],
    [
      "a file without a seed",
      { "nats.nkeySeedFile": at("none.nk") },
      {
        code: "invalid_argument",
        message: `nats.nkeySeedFile: ${at("none.nk")} holds no nkey seed (SU…); give the right file`,
      },
    ],
    [
      "a damaged credentials file",
      { "nats.credsFile": at("none.creds") },
      {
        code: "invalid_argument",
        message: `nats.credsFile: ${at("none.creds")} is no credentials file as nsc writes it; give the right file`,
      },
    ],
  ])("%s is refused by the name of the setting", async (_what, settings, error) => {
    await expect(worksWith(nats, settings)).rejects.toMatchObject(error);
  });

  test("files that cannot be read end the command with one line, before anything is started", async () => {
    for (const field of ["nats.credsFile", "nats.nkeySeedFile", "nats.tls.caFile"]) {
      const { code, out, err } = await covote(
        ["up", "--data", at("data"), "--set", `nats.url=${nats.url}`, "--set", `${field}=${at("gone")}`],
        fakeTerminal(),
      );
      expect([code, out]).toEqual([2, ""]);
      expect(err).toBe(
        `covote: ${field}: cannot read ${at("gone")} (ENOENT); give the path of a file that this user may read\n`,
      );
    }
  });
});

describe.skipIf(noOpenssl !== undefined)(`TLS${noOpenssl === undefined ? "" : ` (${noOpenssl})`}`, () => {
  let nats: TestNats;
  let demanding: TestNats;
  let models: ModelFolders;

  beforeAll(async () => {
    const [server, client] = [selfSigned(folder, "server"), selfSigned(folder, "client")];
    selfSigned(folder, "other");
    const own = `cert_file: "${server.cert}", key_file: "${server.key}"`;
    nats = await startNats({ extraConfig: [`tls { ${own} }`] });
    demanding = await startNats({
      extraConfig: [`tls { ${own}, ca_file: "${client.cert}", verify: true }`, ...authorization],
    });
    models = await writePostcardsModels(at("models"));
  });
  afterAll(async () => {
    await nats[Symbol.asyncDispose]();
    await demanding[Symbol.asyncDispose]();
  });
  const client = () => ({
    "nats.tls.caFile": at("server.crt"),
    "nats.tls.certFile": at("client.crt"),
    "nats.tls.keyFile": at("client.key"),
    "nats.nkeySeedFile": at("user.nk"),
  });

  test("the certificate's authority opens a bus, which survives the server's restart", async () => {
    const bus = await busWith(nats, { "nats.tls.caFile": at("server.crt") });
    const records = await bus.kv("versions");
    await records.put("before", bytes("before"));
    const back = nextEvent(bus, "reconnect");
    await nats.server.restart();
    await back;
    await records.put("after", bytes("after"));
    const kept = await Promise.all(["before", "after"].map((key) => records.get(key)));
    expect(kept.map((entry) => entry && text(entry.value))).toEqual(["before", "after"]);
  });

  test("a server that demands certificate and nkey gets both", async () => {
    expect(await worksWith(demanding, client())).toBe(true);
  });

  test.each<[what: string, settings: Record<string, string>, message: RegExp]>([
    ["no authority", {}, /its certificate is not trusted \(.*\); set nats\.tls\.caFile/],
    ["another authority", { "nats.tls.caFile": at("other.crt") }, /its certificate is not trusted/],
    ["an authority that is no certificate", { "nats.tls.caFile": at("none.nk") }, /nats\.tls/],
  ])("%s is refused by the name of the setting", async (_what, settings, message) => {
    const opened = worksWith(nats, settings);
    await expect(opened).rejects.toMatchObject({ code: "failed_precondition" });
    await expect(opened).rejects.toThrow(message);
  });

  test("a server that demands a certificate says so; one without TLS is not spoken to in the clear", async () => {
    const caFile = at("server.crt");
    await expect(demanding.bus({ tls: { caFile }, connectTimeoutMs: 500 })).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringMatching(
        /does not accept our certificate \(.*\); set nats\.tls\.certFile and nats\.tls\.keyFile/,
      ),
    });
    await using plain = await startNats();
    const opened = plain.bus({ servers: plain.url.replace("nats:", "tls:") });
    await expect(opened).rejects.toThrow(/it has no TLS; switch it on there/);
    await expect(worksWith(plain, { "nats.tls.caFile": caFile })).rejects.toThrow(/it has no TLS/);
  });

  test.each([
    ["in one process", []],
    ["in many", ["--processes"]],
  ])("a whole cluster runs on it, %s", async (_how, more) => {
    const terminal = fakeTerminal();
    const settings = { ...client(), "nats.url": demanding.url, "grpc.address": "127.0.0.1:0" };
    const flags = Object.entries({ ...settings, "metrics.port": "0", "log.level": "warn" });
    const ended = covote(
      [
        ...["up", "--json", "--data", at(`data${more.length}`)],
        ...flags.flatMap(([name, value]) => ["--set", `${name}=${value}`]),
        ...models.flags,
        ...more,
      ],
      terminal,
    );
    await Promise.race([
      terminal.written("}\n"),
      ended.then(({ err }) => Promise.reject(new Error(`up ended early: ${err}`))),
    ]);
    terminal.send("SIGTERM");
    expect((await ended).code).toBe(0);
  });
});
