/**
 * Each service as a NATS user with the permissions of lib/bus/permissions.ts, on a real nats-server: a whole run goes
 * through without one refusal, and whatever a service's list does not name is refused.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection, nkeyAuthenticator, nkeys } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inboxPrefixOf, type NatsUser, natsPermissions, natsUsers } from "../../lib/bus/permissions.js";
import { systemClock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createSimulatedScalarEngine } from "../../lib/engine/simulated-scalar.js";
import type { LedgerBalance } from "../../lib/grpo/ledger.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { createGrpcClient } from "../../lib/host/grpc-client.js";
import { createHost, type Host } from "../../lib/host/host.js";
import { createRuntime, type Runtime } from "../../lib/runtime/runtime.js";
import { ClusterServiceService } from "../../lib/wire/gen/covote/v1/cluster.js";
import { RewardServiceService } from "../../lib/wire/gen/covote/v1/reward.js";
import { scalingEvents } from "../../services/co-scaler/decisions.js";
import { mountCoScaler } from "../../services/co-scaler/mount.js";
import { mountGrmWorker } from "../../services/grm-worker/mount.js";
import { mountGrpoLearner } from "../../services/grpo-learner/mount.js";
import { mountMetaRm } from "../../services/meta-rm/mount.js";
import { mountNatsSteward } from "../../services/nats-steward/mount.js";
import { mountPolicySampler } from "../../services/policy-sampler/mount.js";
import { mountVoteAggregator } from "../../services/vote-aggregator/mount.js";
import { createCountingTrainer } from "../support/counting-trainer.js";
import { samplingEngine } from "../support/learning-cluster.js";
import { bytes, startNats, type TestNats, text } from "../support/nats.js";
import { scoreRequest, votingEngine } from "../support/reward-cluster.js";
import { covote } from "../support/terminal.js";

const cluster = "limited";
const folder = mkdtempSync(join(tmpdir(), "covote-permissions-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

const pairs = Object.fromEntries(natsUsers.map((user) => [user, nkeys.createUser()])) as Record<
  NatsUser,
  ReturnType<typeof nkeys.createUser>
>;
for (const user of natsUsers) writeFileSync(join(folder, `${user}.nk`), `${text(pairs[user].getSeed())}\n`);

const authorization = [
  "authorization { users: [",
  ...natsUsers.map(
    (user) =>
      `  { nkey: ${pairs[user].getPublicKey()}, permissions: ${JSON.stringify(natsPermissions(cluster, user))} }`,
  ),
  "] }",
];

/** Resolves when the co-scaler has told what it decided. */
function nextDecision(runtime: Runtime): Promise<void> {
  const bus = runtime.bus();
  return new Promise((resolve) => {
    bus.subscribe(bus.subjects.events(scalingEvents), {}, () => resolve());
  });
}

/** What the server says it refused, one line each. */
function refusals(nats: TestNats): string[] {
  return readFileSync(join(nats.server.dataDir, "nats.log"), "utf8")
    .split("\n")
    .filter((line) => line.includes(" Violation "));
}

describe("a cluster of services that may do only what they need", () => {
  let nats: TestNats;
  const hosts: Host[] = [];
  const clock = systemClock();
  const runDir = join(folder, "run-7");

  beforeAll(async () => {
    nats = await startNats({ extraConfig: authorization });
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host.stop("the test has ended")));
    await nats[Symbol.asyncDispose]();
  });

  const start = async (user: NatsUser, mount: (runtime: Runtime) => void): Promise<Runtime> => {
    const config = compileCovoteConfig({
      overrides: {
        "cluster.name": cluster,
        "nats.url": nats.url,
        "nats.nkeySeedFile": join(folder, `${user}.nk`),
        "nats.inboxPrefix": inboxPrefixOf(user),
        "nats.provision": user === "nats-steward",
        "nats.ackWaitMs": 500,
        "grpc.address": "127.0.0.1:0",
        "metrics.port": 0,
        "run.dir": runDir,
        "training.steps": 2,
        "scaling.actuator": "observe",
        "scaling.intervalMs": 200,
        "scaling.reportIntervalMs": 100,
        "scaling.votes.enabled": true,
        "training.groupsPerStep": 2,
        "training.groupSize": 3,
        "judging.votes": 2,
      },
    });
    const host = createHost({ name: user, log: silentLogger, clock, drainTimeoutMs: 5000 });
    hosts.push(host);
    const runtime = createRuntime({ host, config, clock, env: {}, natsUrl: nats.url });
    mount(runtime);
    await runtime.start();
    return runtime;
  };
  test("judges, trains, answers about itself and survives the server's restart, without one refusal", async () => {
    const finished = deferred<LedgerBalance>();
    const prompts = {
      prompt: (index: number) => ({
        messages: [{ role: "user" as const, content: `query ${index}` }],
        label: null,
      }),
    };
    // They wait until the steward has made what they need.
    const waiting = Promise.all([
      start("vote-aggregator", mountVoteAggregator),
      start("grm-worker", (runtime) =>
        mountGrmWorker(runtime, { name: "grm-worker", openEngine: async () => votingEngine() }),
      ),
      start("meta-rm", (runtime) =>
        mountMetaRm(runtime, { openEngine: async () => createSimulatedScalarEngine({ logit: () => 1 }) }),
      ),
      start("policy-sampler", (runtime) =>
        mountPolicySampler(runtime, { openEngine: async () => samplingEngine() }),
      ),
      start("grpo-learner", (runtime) =>
        mountGrpoLearner(runtime, { prompts, finished, openTrainer: async () => createCountingTrainer() }),
      ),
    ]);
    const scaler = start("co-scaler", mountCoScaler);
    await start("nats-steward", mountNatsSteward);
    const [aggregator, worker] = await waiting;
    const decided = nextDecision(await scaler);
    const balance = await finished.promise;
    expect(balance).toMatchObject({ trained: 4 });

    const client = createGrpcClient({ address: aggregator.grpcAddress() ?? "", what: "reward service" });
    try {
      const judged = await client.unary(
        RewardServiceService.score,
        scoreRequest({ options: { metaKeep: 1 } }),
      );
      expect(judged.rewards.map(({ value }) => value !== undefined)).toEqual([true, true, true]);
      const record = await client.unary(RewardServiceService.getJudgment, { judgmentId: judged.judgmentId });
      expect(record.judgment?.votes.length).toBeGreaterThan(0);
      const status = await client.unary(ClusterServiceService.getStatus, {});
      expect(status.services.map(({ name }) => name).sort()).toEqual([...natsUsers].sort());
      expect(status.models.map(({ role }) => role)).toEqual(["policy"]);

      const reporting = async (): Promise<string[]> => {
        const { loads } = await client.unary(ClusterServiceService.getScaling, { decisions: 1 });
        return loads.map(({ role }) => role).sort();
      };
      await expect
        .poll(reporting, { timeout: 10_000 })
        .toEqual(["aggregator", "grm", "learner", "meta-rm", "policy"]);

      // Too large for an entry: it goes to the object store.
      const long = "good 3 ".repeat(60_000);
      const large = await client.unary(
        RewardServiceService.score,
        scoreRequest({ texts: [long, "good 1"], options: { votes: 2, metaKeep: 0 } }),
      );
      const kept = await client.unary(RewardServiceService.getJudgment, { judgmentId: large.judgmentId });
      expect(kept.judgment?.judgmentId).toBe(large.judgmentId);

      await decided;
      const principles = await worker.bus().kv("principles");
      await principles.create("key", bytes("thanks 3"));
      expect((await principles.get("key"))?.value).toEqual(bytes("thanks 3"));

      await nats.server.restart();
      // The memory of the server is gone, and with it the ballots' queue: the steward makes it again.
      const again = await client.unary(RewardServiceService.score, scoreRequest(), { timeoutMs: 20_000 });
      expect(again.rewards.map(({ value }) => value !== undefined)).toEqual([true, true, true]);
    } finally {
      client.close();
    }
    expect(refusals(nats)).toEqual([]);
  }, 60_000);
});

describe("whatever a service's list does not name", () => {
  let nats: TestNats;
  beforeAll(async () => {
    // No stream is there: what is allowed does no harm, it is only not refused.
    nats = await startNats({ extraConfig: authorization });
  });
  afterAll(() => nats[Symbol.asyncDispose]());

  const lists = natsUsers.map((user) => natsPermissions(cluster, user));
  const concrete = (pattern: string): string => pattern.replace(/\*/g, "any").replace(/>$/, "any.thing");
  const everything = (kind: "publish" | "subscribe"): string[] => [
    ...new Set([
      ...lists.flatMap((list) => list[kind].allow.map(concrete)),
      ...lists.flatMap((list) =>
        list.publish.allow.map((subject) => concrete(subject.replaceAll(cluster, "other"))),
      ),
      ...["STREAM.DELETE", "STREAM.PURGE", "STREAM.SNAPSHOT", "CONSUMER.DELETE"].map(
        (verb) => `$JS.API.${verb}.covote_${cluster}_ballots`,
      ),
      ...[
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$SYS.REQ.SERVER.PING",
        "anything",
        `covote.${cluster}.new`,
      ],
    ]),
  ];
  const allows = (patterns: readonly string[], subject: string): boolean =>
    patterns.some((pattern) => {
      const [wanted, given] = [pattern.split("."), subject.split(".")];
      const rest = wanted.at(-1) === ">";
      if (rest ? given.length < wanted.length : given.length !== wanted.length) return false;
      return wanted.every((token, i) => token === ">" || token === "*" || token === given[i]);
    });

  /** What the server refuses of these, in their order. */
  async function refusedOf(user: NatsUser, attempt: (nc: NatsConnection) => void): Promise<Set<string>> {
    const nc = await connect({
      servers: nats.url,
      authenticator: nkeyAuthenticator(pairs[user].getSeed()),
      inboxPrefix: inboxPrefixOf(user),
    });
    const refused = new Set<string>();
    const following = (async () => {
      for await (const event of nc.status()) {
        const subject = event.type === "error" && /"([^"]+)"/.exec(event.error.message)?.[1];
        if (subject) refused.add(subject);
      }
    })();
    attempt(nc);
    await nc.flush();
    await nc.flush();
    await nc.close();
    await following;
    return refused;
  }

  test.each(natsUsers)("%s is refused it, and nothing else", async (user) => {
    const { publish, subscribe } = natsPermissions(cluster, user);
    const subjects = everything("publish");
    const refused = await refusedOf(user, (nc) => {
      for (const subject of subjects) nc.publish(subject);
    });
    expect(subjects.filter((subject) => refused.has(subject))).toEqual(
      subjects.filter((subject) => !allows(publish.allow, subject)),
    );
    const heard = [...everything("subscribe"), ">", "covote.>", `covote.${cluster}.>`, "_INBOX.>", "$SRV.>"];
    const deaf = await refusedOf(user, (nc) => {
      for (const subject of heard) nc.subscribe(subject, { callback: () => undefined });
    });
    expect(refusals(nats).length).toBeGreaterThanOrEqual(refused.size + deaf.size);
    expect(heard.filter((subject) => deaf.has(subject))).toEqual(
      heard.filter((subject) => !allows(subscribe.allow, subject)),
    );
  });
});

describe("covote nats", () => {
  test("keys makes a key for every service, a Secret and values of the chart, and never writes over them", async () => {
    const out = join(folder, "keys");
    const made = await covote(["nats", "keys", "--out", out, "--json"]);
    expect(made.code).toBe(0);
    const { nkeys: publicKeys } = JSON.parse(made.out) as { nkeys: Record<string, string> };
    expect(Object.keys(publicKeys)).toEqual([...natsUsers]);
    for (const user of natsUsers) {
      const seed = readFileSync(join(out, `${user}.nk`), "utf8").trim();
      expect(nkeys.fromSeed(bytes(seed)).getPublicKey()).toBe(publicKeys[user]);
      expect(readFileSync(join(out, "secret.yaml"), "utf8")).toContain(seed);
      expect(readFileSync(join(out, "values.yaml"), "utf8")).toContain(`${user}: ${publicKeys[user]}`);
    }
    expect(await covote(["nats", "keys", "--out", out])).toMatchObject({
      code: 2,
      err: `covote: --out: ${out} is not empty; give a new folder, or empty it yourself\n`,
    });
  });

  test("permissions prints the list of a service; another name is refused", async () => {
    const { out } = await covote(["nats", "permissions", "--cluster", cluster, "--user", "meta-rm"]);
    expect(JSON.parse(out)).toEqual({ "meta-rm": natsPermissions(cluster, "meta-rm") });
    expect(await covote(["nats", "permissions", "--user", "nobody"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("--user: must be one of policy-sampler, grm-worker, meta-rm"),
    });
  });

  test("provision makes what services without the right to make it wait for", async () => {
    await using nats = await startNats();
    const settings = [
      "--set",
      `nats.url=${nats.url}`,
      "--set",
      "cluster.name=made",
      "--set",
      "run.dir=runs/r1",
    ];
    const late = nats.bus({ cluster: "made", topology: "use", provisionTimeoutMs: 0 });
    await expect(late).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringMatching(
        /^stream covote_made_\w+: .*; nats\.provision is false here: let covote nats/,
      ),
    });
    expect(await covote(["nats", "provision", ...settings])).toMatchObject({
      code: 0,
      out: "cluster made: 4 queues and their buckets are there, and the channel of r1\n",
    });
    const bus = await nats.bus({ cluster: "made", topology: "use", provisionTimeoutMs: 0 });
    await (await bus.kv("versions")).put("policy", bytes("1"));
    await (await bus.objects("weights")).put("a", bytes("w"));
    const got = new Promise((resolve) =>
      bus.work("experience", { concurrency: 1, subjectToken: "r1" }, async ({ data }) => resolve(text(data))),
    );
    await bus.enqueue("experience", bytes("e"), { id: "e", subjectToken: "r1" });
    expect(await got).toBe("e");
  });
});
