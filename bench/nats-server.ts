/** A nats-server of the benchmark's own: free port, files in a temporary folder, gone with `stop`. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CovoteError } from "../lib/core/errors.js";

export interface BenchNatsServer {
  readonly url: string;
  readonly version: string;
  stop(): Promise<void>;
}

const startTimeoutMs = 10_000;

export async function startBenchNatsServer(): Promise<BenchNatsServer> {
  const binary = process.env.NATS_SERVER ?? "nats-server";
  const folder = mkdtempSync(join(tmpdir(), "covote-bench-"));
  const args = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder, "--ports_file_dir", folder];
  const child = spawn(binary, args, { stdio: "ignore" });
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const url = await readUrl(folder, child);
    const version =
      /v(\d\S*)/.exec(execFileSync(binary, ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown";
    return { url, version, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function readUrl(folder: string, child: ChildProcess): Promise<string> {
  for (let waitedMs = 0; waitedMs < startTimeoutMs && child.exitCode === null; waitedMs += 20) {
    const name = readdirSync(folder).find((file) => file.endsWith(".ports"));
    const text = name === undefined ? "" : readFileSync(join(folder, name), "utf8");
    const url = /"(nats:\/\/[^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return url;
    await sleep(20);
  }
  throw new CovoteError(
    "unavailable",
    "nats-server did not start; install it or name it in $NATS_SERVER, then run the benchmark again",
  );
}
