import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import {
  type CastVote,
  createJudgment,
  type Dispatch,
  type Effect,
  type JudgmentSpec,
  type Outcome,
} from "../../services/vote-aggregator/judgment.js";

const spec = (over: Partial<JudgmentSpec> = {}): JudgmentSpec => ({
  id: "j",
  responses: 3,
  votes: 4,
  metaKeep: null,
  panelLimit: 4,
  votesPerBallot: 2,
  seed: 7,
  ...over,
});

const castBy = (voteId: string, over: Partial<CastVote> = {}): CastVote => ({
  voteId,
  judgeVersion: "grm-1",
  worker: "w",
  text: `judgment ${voteId}`,
  principles: "topic 1",
  critique: "topic yes",
  scores: null,
  nullReason: null,
  failure: "",
  panelTooLong: false,
  cost: { promptTokens: 10, cachedTokens: 4, completionTokens: 5, engineMs: 1 },
  ...over,
});

/** A score that depends on nothing but the vote and the response, so that every judge agrees with itself. */
const scoreOf = (voteId: string, response: number): number =>
  1 + ([...`${voteId}/${response}`].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 7) % 10);

const usable = (voteId: string, order: readonly number[], over: Partial<CastVote> = {}): CastVote =>
  castBy(voteId, { scores: order.map((response) => scoreOf(voteId, response)), ...over });

const failing = (
  voteId: string,
  nullReason: CastVote["nullReason"],
  over: Partial<CastVote> = {},
): CastVote => castBy(voteId, { nullReason, failure: "because", ...over });

const dispatched = (effects: readonly Effect[]): Dispatch[] =>
  effects.flatMap((effect) => (effect.t === "dispatch" ? [...effect.ballots] : []));
const outcomes = (effects: readonly Effect[]): Outcome[] =>
  effects.flatMap((effect) => (effect.t === "finish" ? [effect.outcome] : []));
const metaAsked = (effects: readonly Effect[]): string[] =>
  effects.flatMap((effect) => (effect.t === "meta" ? effect.votes.map((v) => v.vote.voteId) : []));
const tickets = (ballots: readonly Dispatch[]) =>
  ballots.flatMap(({ ballotId, order, tickets: all }) =>
    all.map((ticket) => ({ voteId: ticket.voteId, order, ballotId })),
  );

/** What is left of an outcome when it does not matter who answered first. */
const essence = (outcome: Outcome) => ({
  rewards: outcome.rewards,
  partial: outcome.partial,
  version: outcome.judgeVersion,
  votes: [...outcome.votes]
    .map(({ cast: { voteId, scores, nullReason }, meta, kept }) => ({
      voteId,
      scores,
      meta,
      kept,
      nullReason,
    }))
    .sort((a, b) => (a.voteId < b.voteId ? -1 : 1)),
});

describe("one outcome, whatever happens on the way", () => {
  const shape = fc.record({
    responses: fc.integer({ min: 1, max: 6 }),
    votes: fc.integer({ min: 1, max: 5 }),
    panelLimit: fc.integer({ min: 1, max: 6 }),
    votesPerBallot: fc.integer({ min: 1, max: 4 }),
    metaKeep: fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
    seed: fc.nat(1000),
  });

  /**
   * The world around a judgment: messages on their way are drawn in any order, delivered twice, or lost; a lost
   * one comes back only because the ballot becomes overdue.
   */
  const play = (task: JudgmentSpec, chaosSeed: number): Outcome[] => {
    const random = createRandom(chaosSeed);
    const machine = createJudgment(task);
    const underway: (() => Effect[])[] = [];
    const ends: Outcome[] = [];
    const absorb = (effects: readonly Effect[]): void => {
      ends.push(...outcomes(effects));
      for (const { voteId, order } of tickets(dispatched(effects))) {
        const deliver = (): Effect[] => machine.handle({ t: "vote", vote: usable(voteId, order) });
        if (random.next() < 0.7) underway.push(deliver);
        if (random.next() < 0.3) underway.push(deliver);
      }
      for (const voteId of metaAsked(effects)) {
        const score = voteId.length % 2 === 0 ? null : scoreOf(voteId, 99);
        underway.push(() =>
          machine.handle({ t: "meta", scores: new Map([[voteId, score]]), version: "m-1" }),
        );
      }
    };
    absorb(machine.start());
    for (let moves = 0; moves < 5000 && ends.length === 0; moves++) {
      if (underway.length === 0) {
        const ballotIds = machine.openBallots().map((ballot) => ballot.ballotId);
        expect(ballotIds.length, "nothing is underway and nothing is open, but there is no outcome").not.toBe(
          0,
        );
        absorb(machine.handle({ t: "overdue", ballotIds }));
        continue;
      }
      const [next] = underway.splice(random.below(underway.length), 1);
      absorb(next?.() ?? []);
    }
    // Whatever is still underway arrives late.
    for (const late of underway) absorb(late());
    absorb(machine.handle({ t: "deadline" }));
    absorb(machine.handle({ t: "cancel", reason: "cancelled" }));
    return ends;
  };

  test("any order, duplicates and losses: exactly one outcome, the same as without them", () => {
    fc.assert(
      fc.property(shape, fc.nat(), (drawn, chaosSeed) => {
        const task = spec({ ...drawn, metaKeep: drawn.metaKeep && Math.min(drawn.metaKeep, drawn.votes) });
        const calm = play(task, 0);
        const rough = play(task, chaosSeed);
        expect(calm).toHaveLength(1);
        expect(rough).toHaveLength(1);
        expect(essence(rough[0] as Outcome)).toEqual(essence(calm[0] as Outcome));
        expect(rough[0]?.partial).toBe(false);
        expect(rough[0]?.rewards.every((reward) => reward.value !== null)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  test("a deadline at any moment gives one partial outcome with what is known by then", () => {
    fc.assert(
      fc.property(shape, fc.nat(40), (drawn, arrived) => {
        const task = spec({ ...drawn, metaKeep: null });
        const machine = createJudgment(task);
        const all = tickets(dispatched(machine.start()));
        const ends: Outcome[] = [];
        const seen = new Set<number>();
        for (const { voteId, order } of all.slice(0, arrived)) {
          ends.push(...outcomes(machine.handle({ t: "vote", vote: usable(voteId, order) })));
          for (const response of order) seen.add(response);
        }
        ends.push(...outcomes(machine.handle({ t: "deadline" })));
        expect(ends).toHaveLength(1);
        const [outcome] = ends as [Outcome];
        expect(outcome.partial).toBe(arrived < all.length);
        outcome.rewards.forEach((reward, response) => {
          if (seen.has(response)) expect(reward.value).not.toBeNull();
          else expect(reward).toEqual({ value: null, reason: "deadline" });
        });
      }),
      { numRuns: 150 },
    );
  });

  test("every response is on as many panels as it is to have votes", () => {
    fc.assert(
      fc.property(shape, (drawn) => {
        const task = spec({ ...drawn, metaKeep: null });
        const counts = new Array<number>(task.responses).fill(0);
        const ids = new Set<string>();
        for (const { voteId, order } of tickets(dispatched(createJudgment(task).start()))) {
          expect(order.length).toBeLessThanOrEqual(task.panelLimit);
          for (const response of order) counts[response]!++;
          ids.add(voteId);
        }
        expect(counts).toEqual(counts.map(() => task.votes));
      }),
    );
  });
});

describe("judge versions", () => {
  test("a vote by new weights starts the judgment over, and only their votes count", () => {
    const machine = createJudgment(spec());
    const first = tickets(dispatched(machine.start()));
    const [a, b] = first as [(typeof first)[0], (typeof first)[0]];
    machine.handle({ t: "vote", vote: usable(a.voteId, a.order) });
    const restarted = dispatched(
      machine.handle({ t: "vote", vote: usable(b.voteId, b.order, { judgeVersion: "grm-2" }) }),
    );
    expect(tickets(restarted)).toHaveLength(first.length);
    const fresh = tickets(restarted);
    expect(fresh.map((t) => t.voteId)).not.toContain(a.voteId);
    // What the old weights still send about the first plan is late.
    for (const { voteId, order } of first) {
      expect(machine.handle({ t: "vote", vote: usable(voteId, order) })).toEqual([]);
    }
    const ends = fresh.flatMap(({ voteId, order }) =>
      outcomes(machine.handle({ t: "vote", vote: usable(voteId, order, { judgeVersion: "grm-2" }) })),
    );
    expect(ends).toHaveLength(1);
    expect(ends[0]?.judgeVersion).toBe("grm-2");
    expect(new Set(ends[0]?.votes.map((vote) => vote.cast.judgeVersion))).toEqual(new Set(["grm-2"]));
  });

  test("a ballot that a worker with the old weights has cast goes out again at once, at most three times", () => {
    const machine = createJudgment(spec({ votes: 2, votesPerBallot: 2 }));
    const [first, second] = tickets(dispatched(machine.start()));
    if (first === undefined || second === undefined) throw new Error("no ballot");
    machine.handle({ t: "vote", vote: usable(first.voteId, first.order, { judgeVersion: "old" }) });
    const [ballot] = dispatched(
      machine.handle({ t: "vote", vote: usable(second.voteId, second.order, { judgeVersion: "new" }) }),
    );
    if (ballot === undefined) throw new Error("no ballot");
    for (let again = 1; again <= 4; again++) {
      const effects = ballot.tickets.flatMap(({ voteId }) =>
        machine.handle({ t: "vote", vote: usable(voteId, ballot.order, { judgeVersion: "old" }) }),
      );
      const expected = again <= 3 ? [{ ballotId: ballot.ballotId, attempt: again }] : [];
      expect(dispatched(effects).map(({ ballotId, attempt }) => ({ ballotId, attempt }))).toEqual(expected);
    }
    expect(machine.openBallots().map((open) => open.ballotId)).toContain(ballot.ballotId);
  });

  test("a failure without a generation pins no version", () => {
    const machine = createJudgment(spec({ responses: 1, votes: 2, votesPerBallot: 1 }));
    const [a, b] = tickets(dispatched(machine.start()));
    machine.handle({
      t: "vote",
      vote: failing(a?.voteId ?? "", "engine_unavailable", { judgeVersion: "" }),
    });
    const ends = outcomes(machine.handle({ t: "vote", vote: usable(b?.voteId ?? "", [0]) }));
    expect(ends[0]?.judgeVersion).toBe("grm-1");
    expect(ends[0]?.rewards[0]?.value).not.toBeNull();
  });

  test("versions that change with every vote still come to an end at the deadline", () => {
    const machine = createJudgment(spec());
    let open = tickets(dispatched(machine.start()));
    for (let version = 1; version <= 50; version++) {
      const [next] = open;
      const vote = usable(next?.voteId ?? "", next?.order ?? [], { judgeVersion: `grm-${version}` });
      const again = tickets(dispatched(machine.handle({ t: "vote", vote })));
      if (again.length > 0) open = again;
    }
    expect(outcomes(machine.handle({ t: "deadline" }))).toHaveLength(1);
  });
});

describe("reasons of a null reward", () => {
  const single = (votes: number) => spec({ responses: 1, votes, votesPerBallot: 1 });
  const outcomeAfter = (task: JudgmentSpec, reasons: CastVote["nullReason"][]): Outcome | undefined => {
    const machine = createJudgment(task);
    const all = tickets(dispatched(machine.start()));
    return all
      .flatMap(({ voteId }, i) => outcomes(machine.handle({ t: "vote", vote: failing(voteId, reasons[i]!) })))
      .at(0);
  };

  test.each(["unparsable", "refused", "engine_unavailable", "overloaded"] as const)(
    "votes that all failed as %s make the reward null with that reason, never a number",
    (reason) => {
      const outcome = outcomeAfter(single(3), [reason, reason, reason]);
      expect(outcome?.rewards).toEqual([{ value: null, reason }]);
      expect(outcome?.partial).toBe(false);
    },
  );

  test("the commonest failure is the reason; equal counts are decided by name, not by order", () => {
    expect(outcomeAfter(single(3), ["refused", "unparsable", "unparsable"])?.rewards[0]).toEqual({
      value: null,
      reason: "unparsable",
    });
    const either = [
      outcomeAfter(single(2), ["unparsable", "refused"])?.rewards,
      outcomeAfter(single(2), ["refused", "unparsable"])?.rewards,
    ];
    expect(either[0]).toEqual(either[1]);
  });

  test("one usable vote among failures is a value", () => {
    const machine = createJudgment(single(3));
    const all = tickets(dispatched(machine.start()));
    const ends = all.flatMap(({ voteId, order }, i) =>
      outcomes(
        machine.handle({ t: "vote", vote: i === 1 ? usable(voteId, order) : failing(voteId, "unparsable") }),
      ),
    );
    expect(ends[0]?.rewards[0]).toMatchObject({ kept: 1, usable: 1 });
  });

  test("a cancel gives `cancelled` where nothing is known, and closes the judgment", () => {
    const machine = createJudgment(spec());
    machine.start();
    const effects = machine.handle({ t: "cancel", reason: "cancelled" });
    expect(outcomes(effects)[0]?.rewards).toEqual(
      Array.from({ length: 3 }, () => ({ value: null, reason: "cancelled" })),
    );
    expect(machine.handle({ t: "deadline" })).toEqual([]);
  });

  test("scores that do not fit the panel, or are no numbers, are an unparsable vote", () => {
    for (const scores of [[5], [5, 6, 7, 8], [5, Number.NaN, 7], [5, Number.POSITIVE_INFINITY, 7], []]) {
      const machine = createJudgment(spec({ votes: 1 }));
      const [ticket] = tickets(dispatched(machine.start()));
      const ends = outcomes(machine.handle({ t: "vote", vote: castBy(ticket?.voteId ?? "", { scores }) }));
      expect(ends[0]?.rewards[0]).toEqual({ value: null, reason: "unparsable" });
      expect(ends[0]?.votes[0]?.cast.failure).toMatch(/for a panel of 3/);
    }
  });
});

describe("panels that do not fit the model", () => {
  const tooLong = (voteId: string): CastVote => failing(voteId, "refused", { panelTooLong: true });

  test("a panel that is too long is judged as two halves with as many votes each", () => {
    const machine = createJudgment(spec({ responses: 4, votes: 2, votesPerBallot: 2 }));
    const whole = dispatched(machine.start());
    const halves = whole.flatMap(({ tickets: all }) =>
      all.flatMap(({ voteId }) => dispatched(machine.handle({ t: "vote", vote: tooLong(voteId) }))),
    );
    expect(halves.map((half) => half.order.length)).toEqual(whole.flatMap(() => [2, 2]));
    const counts = [0, 0, 0, 0];
    for (const { order } of tickets(halves)) for (const response of order) counts[response]!++;
    expect(counts).toEqual([2, 2, 2, 2]);
    const ends = tickets(halves).flatMap(({ voteId, order }) =>
      outcomes(machine.handle({ t: "vote", vote: usable(voteId, order) })),
    );
    expect(ends).toHaveLength(1);
    expect(ends[0]?.rewards.every((reward) => reward.value !== null)).toBe(true);
  });

  test("a single response that is too long is refused, not split for ever", () => {
    const machine = createJudgment(spec({ responses: 2, votes: 1, votesPerBallot: 1 }));
    const halves = tickets(dispatched(machine.start())).flatMap(({ voteId }) =>
      tickets(dispatched(machine.handle({ t: "vote", vote: tooLong(voteId) }))),
    );
    const ends = halves.flatMap(({ voteId }) =>
      outcomes(machine.handle({ t: "vote", vote: tooLong(voteId) })),
    );
    expect(ends[0]?.rewards).toEqual([
      { value: null, reason: "refused" },
      { value: null, reason: "refused" },
    ]);
  });
});

describe("meta scores", () => {
  test("the outcome waits for the meta RM, keeps its best votes and names it", () => {
    const machine = createJudgment(spec({ responses: 1, votes: 2, votesPerBallot: 1, metaKeep: 1 }));
    const all = tickets(dispatched(machine.start()));
    const voted = all.flatMap(({ voteId }) => machine.handle({ t: "vote", vote: usable(voteId, [0]) }));
    expect(outcomes(voted)).toHaveLength(0);
    expect(metaAsked(voted)).toEqual(all.map((ticket) => ticket.voteId));
    const scores = new Map(all.map(({ voteId }, i) => [voteId, i === 1 ? 2 : -2]));
    const [outcome] = outcomes(machine.handle({ t: "meta", scores, version: "m-3" }));
    expect(outcome?.metaVersion).toBe("m-3");
    expect(outcome?.votes.filter((vote) => vote.kept).map((vote) => vote.cast.voteId)).toEqual([
      all[1]?.voteId,
    ]);
  });

  test("without a meta RM it is plain voting, and the outcome says so", () => {
    const machine = createJudgment(spec({ responses: 1, votes: 2, votesPerBallot: 1, metaKeep: 1 }));
    const all = tickets(dispatched(machine.start()));
    for (const { voteId } of all) machine.handle({ t: "vote", vote: usable(voteId, [0]) });
    const scores = new Map(all.map(({ voteId }) => [voteId, null]));
    const [outcome] = outcomes(machine.handle({ t: "meta", scores, version: "" }));
    expect(outcome?.metaVersion).toBe("");
    expect(outcome?.votes.every((vote) => vote.kept && vote.meta === null)).toBe(true);
  });
});

test("a queue that lost its content gets the open tickets again under the same attempt", () => {
  const machine = createJudgment(spec({ votes: 4, votesPerBallot: 2 }));
  const ballots = dispatched(machine.start());
  const [done] = tickets(ballots);
  machine.handle({ t: "vote", vote: usable(done?.voteId ?? "", done?.order ?? []) });
  const again = dispatched(machine.handle({ t: "requeue" }));
  expect(again.map((ballot) => ballot.attempt)).toEqual(ballots.map(() => 0));
  expect(tickets(again).map((ticket) => ticket.voteId)).toEqual(
    tickets(ballots)
      .slice(1)
      .map((ticket) => ticket.voteId),
  );
});
