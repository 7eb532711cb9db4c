/** A nats-server of the benchmark's own: free port, files in a temporary folder, gone with `stop`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNatsServer } from "../lib/bus/nats-server.js";

export interface BenchNatsServer {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startBenchNatsServer(): Promise<BenchNatsServer> {
  const dataDir = mkdtempSync(join(tmpdir(), "covote-bench-"));
  const discard = (): void => rmSync(dataDir, { recursive: true, force: true });
  try {
    const server = await startNatsServer({ dataDir, env: process.env });
    return {
      url: server.url,
      stop: async () => {
        await server.stop();
        discard();
      },
    };
  } catch (error) {
    discard();
    throw error;
  }
}
