/**
 * Finds the services of a cluster on NATS: asks `$SRV.STATS` (ADR-32) and gathers what answers.
 *
 * Nobody knows how many will answer, so it ends when nothing has come for `quietMs`, at the latest after `longestMs`.
 */
import type { Clock } from "../core/clock.js";
import { newId } from "../core/ids.js";
import type { Bus } from "./bus.js";

export interface FoundService {
  name: string;
  id: string;
  version: string;
  /** Milliseconds since the Unix epoch. */
  startedAtMs: number;
}

const quietMs = 150;
const longestMs = 2000;
const stepMs = 25;

/** In order of name, then id. */
export async function discoverServices(bus: Bus, clock: Clock): Promise<FoundService[]> {
  const reply = bus.subjects.of("discovery", newId());
  const found: FoundService[] = [];
  let lastAt = clock.monotonic();
  const untilAt = lastAt + longestMs;
  const answers = bus.subscribe(reply, {}, (data) => {
    const service = parseStats(data, bus.cluster);
    if (service === null) return;
    found.push(service);
    lastAt = clock.monotonic();
  });
  try {
    bus.publish("$SRV.STATS", new Uint8Array(), { reply });
    await bus.flush();
    while (clock.monotonic() < Math.min(lastAt + quietMs, untilAt)) await clock.sleep(stepMs);
  } finally {
    answers.close();
  }
  return found.sort((a, b) => compare(a.name, b.name) || compare(a.id, b.id));
}

/** Null for services that are not this cluster's. */
function parseStats(data: Uint8Array, cluster: string): FoundService | null {
  let stats: Record<string, unknown>;
  try {
    stats = JSON.parse(new TextDecoder().decode(data)) as Record<string, unknown>;
  } catch {
    // Any service on this NATS may answer, also one that is not covote's.
    return null;
  }
  const metadata = stats.metadata as Record<string, unknown> | undefined;
  if (metadata?.cluster !== cluster) return null;
  const startedAtMs = Date.parse(String(stats.started));
  return {
    name: String(stats.name),
    id: String(stats.id),
    version: String(stats.version),
    startedAtMs: Number.isFinite(startedAtMs) ? startedAtMs : 0,
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
