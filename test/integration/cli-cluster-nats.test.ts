import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openClusterNats } from "../../cli/cluster/nats.js";
import { systemClock } from "../../lib/core/clock.js";
import type { Logger } from "../../lib/core/logger.js";
import { silentLogger } from "../../lib/core/logger.js";
import { compileCovoteConfig } from "../../lib/host/covote-config.js";
import { startNats } from "../support/nats.js";

const folder = mkdtempSync(join(tmpdir(), "covote-cluster-nats-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** A log that tells when a line is written whose text contains `part`. */
function listeningLog(part: string, heard: () => void): Logger {
  const line = (fields: Record<string, unknown> | string, message?: string): void => {
    if (String(message ?? fields).includes(part)) heard();
  };
  return { ...silentLogger, info: line, warn: line };
}

test("a nats-server that keeps dying is given up, with the place of its log", async () => {
  const dataDir = join(folder, "dying");
  const kill = (): void => {
    process.kill(Number(readFileSync(join(dataDir, "nats.pid"), "utf8")), "SIGKILL");
  };
  const nats = await openClusterNats({
    config: compileCovoteConfig(),
    dataDir,
    env: process.env,
    clock: systemClock(),
    log: listeningLog("nats-server started again", kill),
  });
  kill();
  await expect(nats.failed).rejects.toThrow(
    `nats-server died 6 times within a minute; see ${dataDir}/nats.log`,
  );
  await nats.stop();
});

test("a NATS that is named is used as it is, and left alone at the end", async () => {
  await using other = await startNats();
  const nats = await openClusterNats({
    config: compileCovoteConfig({ overrides: { "nats.url": other.url } }),
    dataDir: join(folder, "unused"),
    env: process.env,
    clock: systemClock(),
    log: silentLogger,
  });
  expect([nats.url, nats.own]).toEqual([other.url, false]);
  await nats.stop();
  expect(other.server.running()).toBe(true);
});
