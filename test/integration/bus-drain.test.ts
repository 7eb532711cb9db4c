import { expect, test } from "vitest";
import { deferred } from "../../lib/core/deferred.js";
import { bytes, startNats, text } from "../support/nats.js";

test("drain of a bus: loops finish first, with the messages that they still wait for; then it is closed", async () => {
  await using nats = await startNats();
  const [worker, peer] = [await nats.bus(), await nats.bus()];
  const answer = deferred<string>();
  const taken = deferred<void>();
  const finished: string[] = [];
  worker.subscribe(worker.subjects.votes("w"), {}, (data) => answer.resolve(text(data)));
  worker.work("rollouts", { concurrency: 1 }, async (item) => {
    taken.resolve();
    finished.push(`${item.id}: ${await answer.promise}`);
  });
  await peer.enqueue("rollouts", bytes(""), { id: "r1" });
  await taken.promise;
  const drained = worker.drain(10_000);
  peer.publish(peer.subjects.votes("w"), bytes("a vote"));
  await drained;
  expect(finished).toEqual(["r1: a vote"]);
  expect(worker.status()).toBe("closed");
  expect(() => worker.work("rollouts", { concurrency: 1 }, async () => {})).toThrow(
    expect.objectContaining({ code: "unavailable" }),
  );
  const status = (await peer.queueStatus()).find((s) => s.queue === "rollouts");
  expect(status).toMatchObject({ pending: 0, inFlight: 0 });
});
