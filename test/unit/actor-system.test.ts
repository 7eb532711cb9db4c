import { describe, expect, test } from "vitest";
import type {
  ActorEvent,
  ActorRef,
  Behaviour,
  BehaviourFactory,
  Reply,
  Supervision,
} from "../../lib/actor/actor.js";
import { type ActorSystem, createActorSystem } from "../../lib/actor/system.js";
import { createManualClock, type ManualClock } from "../../lib/core/clock.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import { createRandom } from "../../lib/core/random.js";

interface Stage {
  clock: ManualClock;
  system: ActorSystem;
  events: ActorEvent[];
  types: () => string[];
  escalated: unknown[];
}

function stage(): Stage {
  const clock = createManualClock(1_000_000);
  const events: ActorEvent[] = [];
  const escalated: unknown[] = [];
  const system = createActorSystem({
    clock,
    random: createRandom(1),
    failed: (cause) => escalated.push(cause),
  });
  system.events.subscribe((event) => events.push(event));
  return { clock, system, events, escalated, types: () => events.map((e) => e.type) };
}

type Message = { t: "add"; n: number } | { t: "get"; reply: Reply<number> } | { t: "fail" };

/** Counts; its count is lost when it fails. */
const counter: BehaviourFactory<Message> = () => {
  let sum = 0;
  return {
    receive: (message) => {
      if (message.t === "fail") throw new Error("broken");
      if (message.t === "add") sum += message.n;
      else message.reply.send(sum);
    },
  };
};

const restart: Supervision = {
  on: "restart",
  maxRestarts: 2,
  windowMs: 10_000,
  backoff: { baseMs: 100, maxMs: 1000 },
};
const get = (ref: ActorRef<Message>, deadlineAtMs = Number.POSITIVE_INFINITY): Promise<number> =>
  ref.ask<number>((reply) => ({ t: "get", reply }), { deadlineAtMs });

describe("actor", () => {
  test("tell changes its state, ask reads it", async () => {
    const { system } = stage();
    const ref = system.spawn("counter", counter);
    expect(ref.path).toBe("/user/counter");
    ref.tell({ t: "add", n: 2 });
    ref.tell({ t: "add", n: 3 });
    expect(await get(ref)).toBe(5);
  });

  test("a full mailbox refuses with overloaded", () => {
    const { system } = stage();
    const ref = system.spawn("counter", counter, { mailboxCapacity: 1 });
    expect(ref.offer({ t: "add", n: 1 })).toBe(true);
    expect(ref.offer({ t: "add", n: 1 })).toBe(false);
    expect(() => ref.tell({ t: "add", n: 1 })).toThrow(expect.objectContaining({ code: "overloaded" }));
  });

  test("a failure makes a dead letter of the message and a fresh state; the queued messages stay", async () => {
    const { system, clock, events, types } = stage();
    const ref = system.spawn("counter", counter, { supervision: restart });
    ref.tell({ t: "add", n: 5 });
    ref.tell({ t: "fail" });
    ref.tell({ t: "add", n: 1 });
    await clock.advance(200);
    expect(await get(ref)).toBe(1);
    expect(types()).toEqual(["started", "dead-letter", "failed", "restarted"]);
    expect(events[1]).toMatchObject({ message: { t: "fail" }, reason: "failed" });
  });

  test("too many restarts within the window stop it, and what it has queued becomes dead letters", async () => {
    const { system, clock, types, events } = stage();
    const ref = system.spawn("counter", counter, { supervision: restart });
    for (let i = 0; i < 3; i++) ref.tell({ t: "fail" });
    ref.tell({ t: "add", n: 1 });
    await clock.advance(5000);
    expect(types().filter((t) => t === "restarted")).toHaveLength(2);
    expect(types().at(-1)).toBe("stopped");
    expect(events.filter((e) => e.type === "dead-letter" && e.reason === "stopped")).toHaveLength(1);
    expect(system.size).toBe(0);
  });

  test("restarts outside the window are forgiven", async () => {
    const { system, clock, types } = stage();
    const ref = system.spawn("counter", counter, { supervision: restart });
    for (let i = 0; i < 5; i++) {
      ref.tell({ t: "fail" });
      await clock.advance(20_000);
    }
    expect(types().filter((t) => t === "restarted")).toHaveLength(5);
    expect(await get(ref)).toBe(0);
  });

  test("supervision stop: the first failure ends it", async () => {
    const { system, clock, types } = stage();
    const ref = system.spawn("counter", counter, { supervision: { on: "stop" } });
    ref.tell({ t: "fail" });
    await clock.advance(0);
    expect(types()).toEqual(["started", "dead-letter", "failed", "stopped"]);
  });

  test("escalate: the parent fails in its child's place and both are made anew", async () => {
    const { system, clock, types } = stage();
    let lives = 0;
    let child: ActorRef<Message> | undefined;
    const parent: BehaviourFactory<never> = (context) => {
      lives++;
      child = context.spawn("child", counter, { supervision: { on: "escalate" } });
      return { receive: () => {} };
    };
    system.spawn("parent", parent, { supervision: restart });
    await clock.advance(0);
    child?.tell({ t: "fail" });
    await clock.advance(500);
    expect(lives).toBe(2);
    expect(await get(child as ActorRef<Message>)).toBe(0);
    expect(types().filter((t) => t === "restarted")).toHaveLength(1);
  });

  test("escalate at the top closes the system and tells its owner", async () => {
    const { system, clock, escalated } = stage();
    const ref = system.spawn("counter", counter, { supervision: { on: "escalate" } });
    ref.tell({ t: "fail" });
    await clock.advance(0);
    expect(escalated).toHaveLength(1);
    expect(system.size).toBe(0);
    expect(() => system.spawn("more", counter)).toThrow(expect.objectContaining({ code: "unavailable" }));
  });

  test("hooks run in order: started, restarting, started, stopped; the signal ends with each life", async () => {
    const { system, clock } = stage();
    const calls: string[] = [];
    const signals: AbortSignal[] = [];
    const hooked: BehaviourFactory<Message> = (context): Behaviour<Message> => {
      signals.push(context.signal);
      return {
        receive: (message) => {
          if (message.t === "fail") throw new Error("broken");
          context.stop();
        },
        started: async () => void calls.push("started"),
        restarting: () => void calls.push("restarting"),
        stopped: () => void calls.push("stopped"),
      };
    };
    const ref = system.spawn("hooked", hooked, { supervision: restart });
    ref.tell({ t: "fail" });
    await clock.advance(500);
    expect(signals.map((s) => s.aborted)).toEqual([true, false]);
    ref.tell({ t: "add", n: 1 });
    await clock.advance(0);
    expect(calls).toEqual(["started", "restarting", "started", "stopped"]);
    expect(signals.map((s) => s.aborted)).toEqual([true, true]);
  });

  test("a factory or a started hook that throws counts as a failure", async () => {
    const { system, clock, types } = stage();
    let tries = 0;
    const flaky: BehaviourFactory<Message> = (context) => {
      tries++;
      if (tries === 1) throw new Error("no state yet");
      return {
        ...counter(context),
        started: () => {
          if (tries === 2) throw new Error("not started yet");
        },
      };
    };
    const ref = system.spawn("flaky", flaky, { supervision: restart });
    ref.tell({ t: "add", n: 4 });
    await clock.advance(2000);
    expect(types()).toEqual(["failed", "failed", "restarted"]);
    expect(await get(ref)).toBe(4);
  });

  test("names are unique while an actor lives, and checked", async () => {
    const { system } = stage();
    const ref = system.spawn("one", counter);
    expect(() => system.spawn("one", counter)).toThrow(expect.objectContaining({ code: "already_exists" }));
    expect(() => system.spawn("a/b", counter)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    await system.stop(ref);
    expect(system.spawn("one", counter).path).toBe("/user/one");
  });

  test("a message to an actor that has ended is a dead letter", async () => {
    const { system, events } = stage();
    const ref = system.spawn("one", counter);
    await system.stop(ref);
    ref.tell({ t: "add", n: 1 });
    expect(events.at(-1)).toMatchObject({ type: "dead-letter", path: "/user/one", reason: "stopped" });
  });
});

describe("ask", () => {
  const silent: BehaviourFactory<Message> = () => ({ receive: () => new Promise(() => {}) });

  test("ends at its deadline", async () => {
    const { system, clock } = stage();
    const answer = get(system.spawn("silent", silent), clock.now() + 100);
    const outcome = expect(answer).rejects.toMatchObject({ code: "deadline_exceeded" });
    await clock.advance(100);
    await outcome;
  });

  test("ends at its signal", async () => {
    const { system } = stage();
    const controller = new AbortController();
    const answer = system.spawn("silent", silent).ask<number>((reply) => ({ t: "get", reply }), {
      deadlineAtMs: Number.POSITIVE_INFINITY,
      signal: controller.signal,
    });
    controller.abort();
    await expect(answer).rejects.toMatchObject({ code: "cancelled" });
  });

  test("ends when its message becomes a dead letter", async () => {
    const { system } = stage();
    const ref = system.spawn("one", counter);
    await system.stop(ref);
    await expect(get(ref)).rejects.toMatchObject({ code: "unavailable" });
  });

  test("ends with what the actor fails it with", async () => {
    const { system } = stage();
    const refusing: BehaviourFactory<Message> = () => ({
      receive: (message) => {
        if (message.t === "get") message.reply.fail(new CovoteError("not_found", "no such thing"));
      },
    });
    await expect(get(system.spawn("refusing", refusing))).rejects.toMatchObject({ code: "not_found" });
  });

  test("to a full mailbox is overloaded", async () => {
    const { system } = stage();
    const ref = system.spawn("silent", silent, { mailboxCapacity: 1 });
    ref.tell({ t: "fail" });
    await expect(get(ref)).rejects.toMatchObject({ code: "overloaded" });
  });
});

describe("stopping", () => {
  test("drain handles what was accepted, children end before their parent, new actors are refused", async () => {
    const { system, clock, events } = stage();
    const gate = deferred<void>();
    const handled: number[] = [];
    const parent: BehaviourFactory<number> = (context) => {
      context.spawn("child", counter);
      return {
        receive: async (n) => {
          await gate.promise;
          handled.push(n);
        },
      };
    };
    const ref = system.spawn("parent", parent);
    for (const n of [1, 2, 3]) ref.tell(n);
    await clock.advance(0);
    const drained = system.drain(1000);
    expect(() => system.spawn("late", counter)).toThrow(expect.objectContaining({ code: "unavailable" }));
    gate.resolve();
    await drained;
    expect(handled).toEqual([1, 2, 3]);
    const stopped = events.filter((e) => e.type === "stopped").map((e) => e.path);
    expect(stopped).toEqual(["/user/parent/child", "/user/parent"]);
  });

  test("at the deadline of a drain the rest becomes dead letters, and a stuck handler is left behind", async () => {
    const { system, clock, events } = stage();
    const ref = system.spawn<number>("stuck", () => ({ receive: () => new Promise(() => {}) }));
    for (const n of [1, 2, 3]) ref.tell(n);
    await clock.advance(0);
    const drained = system.drain(1000);
    await clock.advance(1000);
    expect(events.filter((e) => e.type === "dead-letter")).toHaveLength(2);
    await clock.advance(2000);
    await drained;
  });

  test("a parent can end its child", async () => {
    const { system, types } = stage();
    const done = deferred<void>();
    system
      .spawn<"stop">("parent", (context) => {
        const child = context.spawn("child", counter);
        return {
          receive: async () => {
            await context.stopChild(child);
            done.resolve();
          },
        };
      })
      .tell("stop");
    await done.promise;
    expect(types()).toContain("stopped");
  });
});
