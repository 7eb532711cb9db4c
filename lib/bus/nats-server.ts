/**
 * Finding nats-server on this machine and running one as a child process.
 *
 * - Order: `$NATS_SERVER`, PATH, the system's own folders (a plain user's PATH lacks /usr/sbin), `.tools/bin`
 *   where `make setup` puts one.
 * - A started server keeps its data in one folder and its port over restarts, and does not outlive the
 *   process that started it, even when that one is killed: a small shell watches a pipe to it and sends
 *   SIGTERM when the pipe ends.
 * - It has its own process group, so that Ctrl-C reaches the services first, and they can drain.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { systemClock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import { type Logger, silentLogger } from "../core/logger.js";
import { packagePath } from "../core/package-root.js";
import { endWithThisProcess } from "./end-with-parent.js";

/** Where to look besides PATH. */
export interface NatsServerPlaces {
  readonly system: readonly string[];
  /** Where `make setup` puts a nats-server that it built. */
  readonly tools: string;
}

export const natsServerPlaces: NatsServerPlaces = {
  system: ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/snap/bin"],
  tools: packagePath(".tools", "bin"),
};

/** Path of the executable, or undefined. `invalid_argument` when `$NATS_SERVER` names none. */
export function findNatsServer(
  env: NodeJS.ProcessEnv,
  places: NatsServerPlaces = natsServerPlaces,
): string | undefined {
  const named = env.NATS_SERVER;
  if (named !== undefined && named !== "") {
    if (isExecutable(named)) return named;
    throw new CovoteError("invalid_argument", `NATS_SERVER: ${named} is not an executable file`, {
      field: "NATS_SERVER",
    });
  }
  const path = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return [...path, ...places.system, places.tools]
    .map((folder) => join(folder, "nats-server"))
    .find(isExecutable);
}

/** The one message for a machine without nats-server. */
export function natsServerMissing(): CovoteError {
  return new CovoteError(
    "failed_precondition",
    "no nats-server found; install one with `sudo apt-get install nats-server`, `brew install nats-server` or " +
      "`go install github.com/nats-io/nats-server/v2@v2.10.24`, or set NATS_SERVER to its path",
  );
}

export interface NatsServerOptions {
  /** Streams, configuration, port and log are kept here; made if missing. */
  dataDir: string;
  /** Default: a free one, kept over restarts. */
  port?: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** Also serve HTTP monitoring (/jsz, /varz) on a free port. Default false. */
  monitor?: boolean;
  /** Bounds of JetStream. Defaults: 1 GiB of memory, 16 GiB of disk. */
  maxMemoryBytes?: number;
  maxFileBytes?: number;
  /** Largest message. Default 8 MiB. */
  maxPayloadBytes?: number;
  /** Where `NATS_SERVER` and `PATH` are looked up; main files pass theirs. */
  env: NodeJS.ProcessEnv;
  /** Lines for the end of the configuration file: users, TLS, whatever else NATS knows. */
  extraConfig?: readonly string[];
  /** Default: found as `findNatsServer` does. */
  executable?: string;
  log?: Logger;
}

export interface NatsServerProcess {
  /** `nats://127.0.0.1:4222` */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly monitorUrl: string | undefined;
  readonly dataDir: string;
  running(): boolean;
  /** Resolves when the present life has ended, however it ended. */
  ended(): Promise<void>;
  /** Orderly end; SIGKILL after `graceMs` (default 5000). Idempotent. */
  stop(graceMs?: number): Promise<void>;
  /** Sends the signal; for SIGKILL and SIGTERM resolves when the process has ended. */
  kill(signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Starts again on the same port and folder; stops it first if it runs. */
  restart(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const startTimeoutMs = 15_000;
const pollMs = 10;
const mebibyte = 1024 * 1024;

export async function startNatsServer(opts: NatsServerOptions): Promise<NatsServerProcess> {
  const executable = opts.executable ?? findNatsServer(opts.env);
  if (executable === undefined) throw natsServerMissing();
  const { dataDir } = opts;
  const log = opts.log ?? silentLogger;
  mkdirSync(dataDir, { recursive: true });
  refuseSecond(dataDir);

  let current = await launch(executable, opts, opts.port ?? -1);
  log.info({ url: current.ports.nats, pid: current.child.pid }, "nats-server started");
  const port = Number(new URL(current.ports.nats).port);

  const kill: NatsServerProcess["kill"] = async (signal) => {
    if (!isRunning(current.child)) return;
    current.child.kill(signal);
    if (signal === "SIGKILL" || signal === "SIGTERM") await current.ended;
  };
  const stop = async (graceMs = 5000): Promise<void> => {
    if (!isRunning(current.child)) return;
    const timer = systemClock().after(graceMs, () => current.child.kill("SIGKILL"));
    await kill("SIGTERM");
    timer.cancel();
  };
  return {
    url: current.ports.nats,
    port,
    get pid() {
      return current.child.pid as number;
    },
    get monitorUrl() {
      return current.ports.monitoring;
    },
    dataDir,
    running: () => isRunning(current.child),
    ended: () => current.ended,
    stop,
    kill,
    restart: async () => {
      await stop();
      current = await launch(executable, opts, port);
      log.info({ url: current.ports.nats, pid: current.child.pid }, "nats-server started again");
    },
    [Symbol.asyncDispose]: () => stop(),
  };
}

interface Launched {
  child: ChildProcess;
  ended: Promise<void>;
  ports: { nats: string; monitoring: string | undefined };
}

async function launch(executable: string, opts: NatsServerOptions, port: number): Promise<Launched> {
  const { dataDir } = opts;
  const configFile = join(dataDir, "nats.conf");
  const logFile = join(dataDir, "nats.log");
  writeFileSync(configFile, configText(opts, port));
  const out = openSync(logFile, "a");
  const args = ["-c", configFile, "--ports_file_dir", dataDir];
  const child = spawn(executable, args, { stdio: ["ignore", out, out], detached: true });
  closeSync(out);
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const pid = child.pid;
  if (pid === undefined) throw new CovoteError("failed_precondition", `cannot run ${executable}`);
  const pidFile = join(dataDir, "nats.pid");
  writeFileSync(pidFile, `${pid}\n`);
  const watch = endWithThisProcess(pid);
  void ended.then(() => {
    watch.kill("SIGKILL");
    rmSync(pidFile, { force: true });
  });
  // It must not keep this process alive: the watcher ends it together with us.
  child.unref();
  try {
    return {
      child,
      ended,
      ports: await readPorts(child, join(dataDir, `nats-server_${pid}.ports`), logFile),
    };
  } catch (cause) {
    child.kill("SIGKILL");
    await ended;
    throw cause;
  }
}

async function readPorts(child: ChildProcess, file: string, logFile: string): Promise<Launched["ports"]> {
  const clock = systemClock();
  const untilMs = clock.monotonic() + startTimeoutMs;
  while (clock.monotonic() < untilMs) {
    if (!isRunning(child))
      throw new CovoteError("failed_precondition", `nats-server did not start: ${lastWords(logFile)}`);
    const text = await readFile(file, "utf8").catch(() => "");
    if (text.trimEnd().endsWith("}")) {
      const ports = JSON.parse(text) as { nats?: string[]; monitoring?: string[] };
      const nats = ports.nats?.[0];
      if (nats !== undefined) return { nats, monitoring: ports.monitoring?.[0] };
    }
    await clock.sleep(pollMs);
  }
  throw new CovoteError(
    "deadline_exceeded",
    `nats-server did not start within ${startTimeoutMs} ms; see ${logFile}`,
  );
}

function configText(opts: NatsServerOptions, port: number): string {
  const quote = JSON.stringify;
  const host = opts.host ?? "127.0.0.1";
  const lines = [
    `host: ${quote(host)}`,
    `port: ${port}`,
    `max_payload: ${opts.maxPayloadBytes ?? 8 * mebibyte}`,
    "max_pending: 268435456",
    "jetstream {",
    `  store_dir: ${quote(opts.dataDir)}`,
    `  max_mem: ${opts.maxMemoryBytes ?? 1024 * mebibyte}`,
    `  max_file: ${opts.maxFileBytes ?? 16 * 1024 * mebibyte}`,
    "}",
  ];
  if (opts.monitor === true) lines.push(`http: ${quote(`${host}:-1`)}`);
  lines.push(...(opts.extraConfig ?? []));
  return `${lines.join("\n")}\n`;
}

/** Two servers on one folder would destroy each other's streams. */
function refuseSecond(dataDir: string): void {
  let pid: number;
  try {
    pid = Number(readFileSync(join(dataDir, "nats.pid"), "utf8"));
    process.kill(pid, 0);
    // A pid is soon reused: only a nats-server counts. Without /proc the doubt counts for refusing.
    const command = readCommand(pid);
    if (command !== undefined && !command.includes("nats-server")) return;
  } catch {
    return;
  }
  throw new CovoteError(
    "failed_precondition",
    `a nats-server (pid ${pid}) already runs on ${dataDir}; stop it with: kill ${pid}`,
  );
}

function readCommand(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return undefined;
  }
}

function lastWords(logFile: string): string {
  const lines = readFileSync(logFile, "utf8").trimEnd().split("\n");
  return lines.findLast((line) => /\[(FTL|ERR)\]/.test(line)) ?? lines.at(-1) ?? `see ${logFile}`;
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
