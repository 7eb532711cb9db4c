import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createMailbox, type Mailbox } from "../../lib/actor/mailbox.js";
import { deferred } from "../../lib/core/deferred.js";

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("mailbox", () => {
  test("handles one message at a time, in the order of arrival, never inside offer", async () => {
    const gates = [deferred<void>(), deferred<void>()];
    const started: number[] = [];
    const mailbox = createMailbox<number>({
      capacity: 8,
      handle: (n) => {
        started.push(n);
        return gates[n]?.promise;
      },
      failed: () => {},
      dead: () => {},
    });
    mailbox.resume();
    mailbox.offer(0);
    mailbox.offer(1);
    expect(started).toEqual([]);
    await settle();
    expect(started).toEqual([0]);
    gates[0]?.resolve();
    await settle();
    expect(started).toEqual([0, 1]);
  });

  test("is bounded: a full one refuses", () => {
    const mailbox = createMailbox<number>({
      capacity: 2,
      handle: () => {},
      failed: () => {},
      dead: () => {},
    });
    expect([1, 2, 3].map((n) => mailbox.offer(n))).toEqual([true, true, false]);
  });

  test("a long queue of quick messages lets other work of the process have its turn", async () => {
    let handled = 0;
    const mailbox = createMailbox<number>({
      capacity: 10_000,
      handle: () => void handled++,
      failed: () => {},
      dead: () => {},
    });
    for (let i = 0; i < 10_000; i++) mailbox.offer(i);
    mailbox.resume();
    await settle();
    expect(handled).toBeGreaterThan(0);
    expect(handled).toBeLessThan(10_000);
  });

  test("every accepted message ends exactly once, whatever the interleaving", async () => {
    const command = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom("offer", "offer-failing", "offer-throwing") },
      { weight: 2, arbitrary: fc.constantFrom("pause", "resume") },
      { weight: 1, arbitrary: fc.constantFrom("drain", "now") },
    );
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(command, { maxLength: 40 }), async (scheduler, commands) => {
        const ends = new Map<number, string[]>();
        const end = (id: number, how: string): void => void ends.get(id)?.push(how);
        let inHand = 0;
        let mostInHand = 0;
        let refused = 0;
        interface Message {
          id: number;
          kind: string;
        }
        const mailbox: Mailbox<Message> = createMailbox<Message>({
          capacity: 5,
          handle: ({ id, kind }) => {
            mostInHand = Math.max(mostInHand, ++inHand);
            const finish = (): void => {
              inHand--;
              if (kind === "offer-failing") throw new Error("failed");
              end(id, "handled");
            };
            if (kind === "offer-throwing") {
              inHand--;
              throw new Error("thrown");
            }
            return scheduler.schedule(Promise.resolve(), `message ${id}`).then(finish);
          },
          failed: () => mailbox.pause(),
          dead: ({ id }, reason) => end(id, reason),
        });
        mailbox.resume();
        const run = scheduler.scheduleSequence(
          commands.map((kind, id) => async () => {
            if (kind === "pause") mailbox.pause();
            else if (kind === "resume") mailbox.resume();
            else if (kind === "drain" || kind === "now") mailbox.close(kind);
            else {
              ends.set(id, []);
              if (!mailbox.offer({ id, kind })) {
                refused++;
                ends.delete(id);
              }
            }
          }),
        );
        await scheduler.waitFor(run.task);
        mailbox.close("now");
        const closed = mailbox.closed.then(() => "closed");
        while (scheduler.count() > 0) await scheduler.waitOne();
        expect(await closed).toBe("closed");
        expect(mailbox.size).toBe(0);
        expect(mostInHand).toBeLessThanOrEqual(1);
        for (const [id, how] of ends) expect(how, `message ${id}`).toHaveLength(1);
        expect(refused + ends.size).toBe(commands.filter((kind) => kind.startsWith("offer")).length);
      }),
      { numRuns: 200 },
    );
  });
});
