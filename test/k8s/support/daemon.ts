/**
 * A program of the control plane, or a service that stands for a pod: started, killed, started again, with its
 * output in a file. It ends with the test process, even when that one is killed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { endWithThisProcess } from "../../../lib/bus/end-with-parent.js";

export interface Daemon extends AsyncDisposable {
  readonly name: string;
  readonly logFile: string;
  /** Of the present life. */
  pid(): number;
  running(): boolean;
  /** Resolves with the exit code of the present life; null after a signal. */
  ended(): Promise<number | null>;
  /** For SIGKILL and SIGTERM resolves when it has ended. */
  kill(signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Starts it again with the same arguments. */
  start(): void;
  /** SIGTERM, then SIGKILL after `graceMs`. Idempotent. */
  stop(graceMs?: number): Promise<void>;
  log(): string;
}

export interface DaemonOptions {
  name: string;
  command: string;
  args: readonly string[];
  logFile: string;
  env?: NodeJS.ProcessEnv;
}

interface Life {
  child: ChildProcess;
  ended: Promise<number | null>;
}

export function startDaemon(options: DaemonOptions): Daemon {
  const { name, logFile } = options;
  let life = launch(options);
  const running = (): boolean => life.child.exitCode === null && life.child.signalCode === null;
  const kill: Daemon["kill"] = async (signal) => {
    if (!running()) return;
    life.child.kill(signal);
    if (signal === "SIGKILL" || signal === "SIGTERM") await life.ended;
  };
  const stop = async (graceMs = 5000): Promise<void> => {
    if (!running()) return;
    life.child.kill("SIGCONT");
    const force = setTimeout(() => life.child.kill("SIGKILL"), graceMs);
    await kill("SIGTERM");
    clearTimeout(force);
  };
  return {
    name,
    logFile,
    pid: () => life.child.pid as number,
    running,
    ended: () => life.ended,
    kill,
    start: () => {
      if (running()) throw new Error(`${name} runs already`);
      life = launch(options);
    },
    stop,
    log: () => readFileSync(logFile, "utf8"),
    [Symbol.asyncDispose]: () => stop(),
  };
}

function launch({ name, command, args, logFile, env }: DaemonOptions): Life {
  const out = openSync(logFile, "a");
  const child = spawn(command, args, {
    stdio: ["ignore", out, out],
    detached: true,
    env: env ?? process.env,
  });
  closeSync(out);
  child.on("error", () => undefined);
  if (child.pid === undefined) throw new Error(`${name}: cannot run ${command}`);
  const watch = endWithThisProcess(child.pid, "KILL");
  const ended = new Promise<number | null>((resolve) => {
    child.once("exit", (code) => {
      watch.kill("SIGKILL");
      resolve(code);
    });
    child.once("error", () => resolve(null));
  });
  child.unref();
  return { child, ended };
}
