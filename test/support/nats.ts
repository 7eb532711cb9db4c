/**
 * A nats-server for one test file, and buses on it.
 *
 * `await using nats = await startNats()` starts one in a temporary folder and removes both at the end. The
 * server is the one that `findNatsServer` finds; without one the tests fail, they are not skipped.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BusEvent } from "../../lib/bus/bus.js";
import {
  type NatsServerOptions,
  type NatsServerProcess,
  startNatsServer,
} from "../../lib/bus/nats-server.js";
import { type BusOptions, type NatsBus, openBus } from "../../lib/bus/open-bus.js";
import { newId } from "../../lib/core/ids.js";
import { createRandom } from "../../lib/core/random.js";

export interface TestNats extends AsyncDisposable {
  readonly server: NatsServerProcess;
  readonly url: string;
  /** A bus on this server; closed with it. Without a cluster name each call shares `test`. */
  bus(opts?: Partial<BusOptions>): Promise<NatsBus>;
}

export async function startNats(opts: Partial<NatsServerOptions> = {}): Promise<TestNats> {
  const dataDir = await mkdtemp(join(tmpdir(), "covote-nats-"));
  const server = await startNatsServer({
    dataDir,
    env: process.env,
    // Streams reserve their bounds: many clusters of many tests fit.
    maxMemoryBytes: 2 ** 40,
    maxFileBytes: 2 ** 44,
    ...opts,
  });
  const buses: NatsBus[] = [];
  return {
    server,
    url: server.url,
    bus: async (busOpts = {}) => {
      const bus = await openBus({
        servers: server.url,
        cluster: "test",
        name: "test",
        random: createRandom(1),
        ...busOpts,
      });
      buses.push(bus);
      return bus;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(buses.map((bus) => bus.close()));
      await server.kill("SIGKILL");
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A cluster name of its own, so that tests of one file do not share queues. */
export function freshCluster(): string {
  return `c${newId()}`;
}

/** The first event of the bus that matches. */
export function nextEvent<T extends BusEvent["type"]>(
  bus: { events: NatsBus["events"] },
  type: T,
  matches: (event: Extract<BusEvent, { type: T }>) => boolean = () => true,
): Promise<Extract<BusEvent, { type: T }>> {
  return new Promise((resolve) => {
    const stop = bus.events.subscribe((event) => {
      if (event.type !== type) return;
      const typed = event as Extract<BusEvent, { type: T }>;
      if (!matches(typed)) return;
      stop();
      resolve(typed);
    });
  });
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);
