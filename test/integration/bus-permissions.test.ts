import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nkeys } from "@nats-io/nats-core";
import { expect, test } from "vitest";
import { deferred } from "../../lib/core/deferred.js";
import { bytes, nextEvent, startNats, text } from "../support/nats.js";

const ballots = "covote_test_ballots";

/** What a grm-worker needs and nothing else; docs quote this list. */
const worker = {
  publish: [
    `$JS.API.CONSUMER.INFO.${ballots}.*`,
    `$JS.API.CONSUMER.MSG.NEXT.${ballots}.*`,
    `$JS.ACK.${ballots}.>`,
    "covote.test.votes.*",
    "covote.test.dead.ballots",
  ],
  subscribe: ["_INBOX_grm.>", "covote.test.cancels"],
};

test("a grm-worker with only the rights it needs works, and may do nothing else", async () => {
  const [admin, grm] = [nkeys.createUser(), nkeys.createUser()];
  await using nats = await startNats({
    extraConfig: [
      "authorization { users: [",
      `  { nkey: ${admin.getPublicKey()} }`,
      `  { nkey: ${grm.getPublicKey()}, permissions: ${JSON.stringify(worker)} }`,
      "] }",
    ],
  });
  const seedFile = async (name: string, seed: Uint8Array): Promise<string> => {
    const path = join(nats.server.dataDir, name);
    await writeFile(path, `${text(seed)}\n`);
    return path;
  };
  const owner = await nats.bus({ nkeySeedFile: await seedFile("admin.nk", admin.getSeed()) });
  const limited = await nats.bus({
    nkeySeedFile: await seedFile("grm.nk", grm.getSeed()),
    inboxPrefix: "_INBOX_grm",
    topology: "use",
  });

  const votes = deferred<string>();
  owner.subscribe(owner.subjects.votes("agg"), {}, (data) => votes.resolve(text(data)));
  await owner.flush();
  const buried = nextEvent(limited, "dead-letter");
  limited.work("ballots", { concurrency: 2 }, async (item) => {
    if (item.id === "bad") throw new Error("cannot be voted on");
    limited.publish(limited.subjects.votes("agg"), item.data);
  });
  await owner.enqueue("ballots", bytes("vote"), { id: "good" });
  await owner.enqueue("ballots", bytes(""), { id: "bad" });
  expect(await votes.promise).toBe("vote");
  expect((await buried).id).toBe("bad");

  const refused = {
    code: "failed_precondition",
    message: expect.stringContaining("not allowed for this NATS user"),
  };
  await expect(limited.enqueue("ballots", bytes(""), { id: "x" })).rejects.toMatchObject(refused);
  await expect(
    limited.request("covote.test.meta.scores", bytes(""), { timeoutMs: 5000 }),
  ).rejects.toMatchObject(refused);
  await expect(
    nats.bus({ nkeySeedFile: await seedFile("other.nk", nkeys.createUser().getSeed()) }),
  ).rejects.toMatchObject({
    code: "failed_precondition",
    message: expect.stringContaining("refuses this user"),
  });
});
