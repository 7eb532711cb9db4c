import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { deferred } from "../../../lib/core/deferred.js";
import { silentLogger } from "../../../lib/core/logger.js";
import type { ExitReason } from "../../../lib/host/host.js";
import { type SignalSource, stopOnSignals } from "../../../lib/host/signals.js";

function setup() {
  const source = new EventEmitter();
  const done = deferred<ExitReason>();
  const stops: string[] = [];
  const exits: number[] = [];
  const host = {
    log: silentLogger,
    done: done.promise,
    stop: async (reason: string) => {
      stops.push(reason);
    },
  };
  stopOnSignals(host, { source: source as SignalSource, exit: (code) => exits.push(code) });
  return { source, done, stops, exits };
}

test("the first signal drains, the second ends at once", () => {
  const { source, stops, exits } = setup();
  source.emit("SIGTERM", "SIGTERM");
  expect([stops, exits]).toEqual([["SIGTERM"], []]);
  source.emit("SIGINT", "SIGINT");
  expect([stops, exits]).toEqual([["SIGTERM"], [130]]);
});

test("a host that is done listens no more", async () => {
  const { source, done, stops } = setup();
  done.resolve({ t: "stopped", reason: "done" });
  await done.promise;
  await Promise.resolve();
  expect(source.listenerCount("SIGTERM") + source.listenerCount("SIGINT")).toBe(0);
  expect(stops).toEqual([]);
});
