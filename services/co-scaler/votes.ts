/** Tells the vote-aggregators how many votes judgments are to get; see VoteBudget. */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { deadlineIn, withDeadline } from "../../lib/core/deadline.js";
import { voteBudgetCodec } from "../../lib/wire/messages.js";

const operationMs = 3000;
/** Rounds that a decision outlives: then the aggregators go back to what is configured. */
const rounds = 5;
const leastMs = 60_000;

export function voteSetter({ bus, clock }: { bus: Bus; clock: Clock }, intervalMs: number) {
  return (votes: number, decisionId: string): Promise<void> =>
    withDeadline(deadlineIn(clock, operationMs), { what: "telling the votes", clock }, async () => {
      const store = await bus.kv("scaling");
      const validUntilMs = clock.now() + Math.max(leastMs, rounds * intervalMs);
      await store.put("votes", voteBudgetCodec.encode({ votes, decisionId, validUntilMs }));
    });
}
