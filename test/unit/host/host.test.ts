import { describe, expect, test } from "vitest";
import { createManualClock } from "../../../lib/core/clock.js";
import { deferred } from "../../../lib/core/deferred.js";
import { CovoteError } from "../../../lib/core/errors.js";
import type { Logger } from "../../../lib/core/logger.js";
import { createHost, type Host, type HostOptions } from "../../../lib/host/host.js";

interface LogLineSeen {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

function recordingLog(): { log: Logger; lines: LogLineSeen[] } {
  const lines: LogLineSeen[] = [];
  const at =
    (level: string) =>
    (first: Record<string, unknown> | string, message?: string): void => {
      lines.push(
        typeof first === "string"
          ? { level, message: first, fields: {} }
          : { level, message: message ?? "", fields: first },
      );
    };
  const log: Logger = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => log,
  };
  return { log, lines };
}

function setup(options: Partial<HostOptions> = {}) {
  const clock = createManualClock(1_000_000);
  const { log, lines } = recordingLog();
  const host = createHost({ name: "grm-worker", log, clock, drainTimeoutMs: 10_000, ...options });
  const events: string[] = [];
  /** A stage that writes down when it starts and stops. */
  const stage = (name: string) =>
    host.stage(name, async () => {
      events.push(`+${name}`);
      return async () => {
        events.push(`-${name}`);
      };
    });
  return { clock, host, events, stage, lines };
}

describe("start", () => {
  test("stages start in order, one after the other, and then the host is ready", async () => {
    const { host, events, stage } = setup();
    const gate = deferred<void>();
    host.stage("telemetry", () => gate.promise);
    stage("bus");
    const started = host.start();
    expect(host.state()).toEqual({ t: "starting", stage: "telemetry" });
    expect(events).toEqual([]);
    expect(host.health.report()).toEqual({ ready: false, notReady: { host: "starting" } });
    gate.resolve();
    await started;
    expect(events).toEqual(["+bus"]);
    expect(host.state()).toEqual({ t: "running" });
    expect(host.health.report().ready).toBe(true);
  });

  test("when a stage fails, those that run are stopped in reverse and start rejects with the cause", async () => {
    const { host, events, stage } = setup();
    stage("telemetry");
    stage("bus");
    const cause = new CovoteError("unavailable", "nats.url: nothing listens");
    host.stage("rpc", () => Promise.reject<void>(cause));
    stage("never");
    await expect(host.start()).rejects.toBe(cause);
    expect(events).toEqual(["+telemetry", "+bus", "-bus", "-telemetry"]);
    expect(host.state()).toEqual({ t: "failed", cause });
    expect(await host.done).toEqual({ t: "failed", cause });
  });

  test("a second start is the same start", async () => {
    const { host, events, stage } = setup();
    stage("bus");
    await Promise.all([host.start(), host.start()]);
    expect(events).toEqual(["+bus"]);
  });

  test("a stage cannot be registered after the start", async () => {
    const { host, stage } = setup();
    await host.start();
    expect(() => stage("late")).toThrow("stage late was registered after the start");
  });

  test("stop while a stage is starting waits for it, starts no more, and stops what runs", async () => {
    const { host, events, stage } = setup();
    const gate = deferred<void>();
    stage("telemetry");
    host.stage("bus", async () => {
      await gate.promise;
      return async () => void events.push("-bus");
    });
    stage("rpc");
    const started = host.start();
    await Promise.resolve();
    const stopped = host.stop("SIGTERM");
    gate.resolve();
    await expect(started).rejects.toMatchObject({ code: "cancelled" });
    await stopped;
    expect(events).toEqual(["+telemetry", "-bus", "-telemetry"]);
    expect(host.state()).toEqual({ t: "stopped", reason: "SIGTERM" });
  });
});

describe("stop", () => {
  test("walks back the stages", async () => {
    const { host, events, stage } = setup();
    for (const name of ["telemetry", "bus", "actors", "rpc"]) stage(name);
    await host.start();
    events.length = 0;
    await host.stop("done");
    expect(events).toEqual(["-rpc", "-actors", "-bus", "-telemetry"]);
    expect(await host.done).toEqual({ t: "stopped", reason: "done" });
  });

  test("is idempotent: every call returns the same promise and the first reason counts", async () => {
    const { host, events, stage } = setup();
    stage("bus");
    await host.start();
    const first = host.stop("SIGTERM");
    expect(host.stop("again")).toBe(first);
    await first;
    expect(host.stop("later")).toBe(first);
    expect(events).toEqual(["+bus", "-bus"]);
    expect(host.state()).toEqual({ t: "stopped", reason: "SIGTERM" });
  });

  test("readiness goes false and the signal aborts before the first stage is stopped", async () => {
    const { host } = setup();
    const seen: unknown[] = [];
    host.stage("rpc", async () => async () => {
      seen.push(host.health.report().ready, host.signal.aborted, host.state().t);
    });
    await host.start();
    expect(host.signal.aborted).toBe(false);
    await host.stop("SIGTERM");
    expect(seen).toEqual([false, true, "draining"]);
  });

  test("a stage that is too slow is named, and the others are stopped all the same", async () => {
    const { host, events, stage, clock, lines } = setup({ drainTimeoutMs: 5_000 });
    stage("bus");
    host.stage("actors", async () => () => new Promise<void>(() => {}));
    await host.start();
    const stopped = host.stop("SIGTERM");
    await clock.advance(4_999);
    expect(events).toEqual(["+bus"]);
    await clock.advance(1);
    await stopped;
    expect(events).toEqual(["+bus", "-bus"]);
    const errors = lines.filter(({ level }) => level === "error");
    expect(errors.map(({ fields }) => fields.stage)).toEqual(["actors"]);
    expect(errors[0]?.message).toContain("stage actors did not stop in time");
  });

  test("stages share one deadline: what one uses the next has not", async () => {
    const { host, clock } = setup({ drainTimeoutMs: 5_000 });
    const remaining: number[] = [];
    host.stage("bus", async () => async (deadline) => void remaining.push(deadline.remainingMs()));
    host.stage("rpc", async () => async (deadline) => {
      remaining.push(deadline.remainingMs());
      await clock.sleep(3_000);
    });
    await host.start();
    const stopped = host.stop("SIGTERM");
    await clock.advance(3_000);
    await stopped;
    expect(remaining).toEqual([5_000, 2_000]);
  });

  test.each([
    ["rejects", () => Promise.reject(new Error("socket gone"))],
    [
      "throws",
      () => {
        throw new Error("socket gone");
      },
    ],
  ])("a stage whose stop %s is logged, and the others are stopped all the same", async (_how, stop) => {
    const { host, events, stage, lines } = setup();
    stage("bus");
    host.stage("rpc", async () => stop as () => Promise<void>);
    await host.start();
    await host.stop("SIGTERM");
    expect(events).toEqual(["+bus", "-bus"]);
    expect(lines.find(({ level }) => level === "error")?.fields).toMatchObject({ stage: "rpc" });
    expect(host.state().t).toBe("stopped");
  });

  test("before the start there is nothing to stop, and a later start is refused", async () => {
    const { host, events, stage } = setup();
    stage("bus");
    await host.stop("changed my mind");
    await expect(host.start()).rejects.toMatchObject({ code: "cancelled" });
    expect(events).toEqual([]);
  });

  test("leaving the scope stops the host", async () => {
    const { host, events, stage } = setup();
    stage("bus");
    {
      await using inner: Host = host;
      await inner.start();
    }
    expect(events).toEqual(["+bus", "-bus"]);
  });
});

describe("fail", () => {
  test("drains and ends with the first cause", async () => {
    const { host, events, stage } = setup();
    stage("bus");
    await host.start();
    host.fail(new Error("the pull loop died"));
    host.fail(new Error("and then this"));
    expect(await host.done).toMatchObject({
      t: "failed",
      cause: { code: "internal", message: "the pull loop died" },
    });
    expect(events).toEqual(["+bus", "-bus"]);
  });

  test("during a drain that somebody asked for, the cause still counts", async () => {
    const { host, clock } = setup();
    host.stage("bus", async () => () => clock.sleep(1_000));
    await host.start();
    const stopped = host.stop("SIGTERM");
    host.fail(new Error("flush failed"));
    await clock.advance(1_000);
    await stopped;
    expect(host.state()).toMatchObject({ t: "failed", cause: { message: "flush failed" } });
  });
});

test("every move of the state is logged once", async () => {
  const { host, stage, lines } = setup();
  stage("bus");
  await host.start();
  await host.stop("SIGTERM");
  const states = lines.filter(({ fields }) => "state" in fields).map(({ fields }) => fields.state);
  expect(states).toEqual(["starting", "running", "draining", "stopped"]);
});
