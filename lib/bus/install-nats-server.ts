/**
 * Installing nats-server where there is none, for `make setup`: apt-get (as root, or where sudo asks no
 * password), Homebrew, then `go install` into `.tools/bin` of the package. The first that works wins; if none
 * does, one message names the three commands.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { CovoteError } from "../core/errors.js";
import { findNatsServer, type NatsServerPlaces, natsServerMissing, natsServerPlaces } from "./nats-server.js";

export interface InstallOptions {
  /** A line about what is being done. Default: standard error. */
  log?: (line: string) => void;
  /** Where `NATS_SERVER` and `PATH` are looked up; main files pass theirs. */
  env: NodeJS.ProcessEnv;
  /** Default: those of this system and package. */
  places?: NatsServerPlaces;
}

interface Way {
  readonly name: string;
  /** Commands to run in order; undefined when this machine cannot. */
  plan(): Promise<readonly (readonly string[])[] | undefined>;
}

/** For Go 1.22 and up, and for the Go 1.19 to 1.21 of older distributions. */
const goPins = [
  { minor: 22, version: "v2.10.24" },
  { minor: 19, version: "v2.9.25" },
] as const;

/** Path of nats-server, installed now if there was none. */
export async function installNatsServer(opts: InstallOptions): Promise<string> {
  const { env } = opts;
  const log = opts.log ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const places = opts.places ?? natsServerPlaces;
  const present = findNatsServer(env, places);
  if (present !== undefined) return present;
  for (const way of waysFor(env, places.tools)) {
    const commands = await way.plan();
    if (commands === undefined) continue;
    log(`installing nats-server with ${way.name}`);
    const failure = await runAll(commands, env);
    const installed = findNatsServer(env, places);
    if (installed !== undefined) return installed;
    log(`${way.name} did not work${failure === undefined ? "" : `: ${failure}`}`);
  }
  throw natsServerMissing();
}

function waysFor(env: NodeJS.ProcessEnv, tools: string): readonly Way[] {
  const works = async (command: readonly string[]): Promise<boolean> => (await run(command, env)).code === 0;
  return [
    {
      name: "apt-get",
      plan: async () => {
        if (!(await works(["apt-get", "--version"]))) return undefined;
        const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
        if (sudo.length > 0 && !(await works([...sudo, "true"]))) return undefined;
        const aptGet = [...sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"];
        return [
          [...aptGet, "update"],
          [...aptGet, "install", "-y", "--no-install-recommends", "nats-server"],
        ];
      },
    },
    {
      name: "Homebrew",
      plan: async () =>
        (await works(["brew", "--version"])) ? [["brew", "install", "nats-server"]] : undefined,
    },
    {
      name: "go install",
      plan: async () => {
        const { code, output } = await run(["go", "version"], env);
        const minor = Number(/go1\.(\d+)/.exec(output)?.[1] ?? 0);
        const pin = goPins.find((candidate) => minor >= candidate.minor);
        if (code !== 0 || pin === undefined) return undefined;
        mkdirSync(tools, { recursive: true });
        const module = `github.com/nats-io/nats-server/v2@${pin.version}`;
        return [["env", `GOBIN=${tools}`, "go", "install", module]];
      },
    },
  ];
}

/** Runs the commands until one fails; its last line, or undefined. */
async function runAll(
  commands: readonly (readonly string[])[],
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  for (const command of commands) {
    const { code, output } = await run(command, env);
    // `apt-get update` may complain about one source and still be good enough for the next command.
    if (code !== 0 && command !== commands[0]) return output.trimEnd().split("\n").at(-1);
    if (code !== 0 && commands.length === 1) return output.trimEnd().split("\n").at(-1);
  }
  return undefined;
}

const timeoutMs = 300_000;

function run(command: readonly string[], env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  const [file, ...args] = command;
  if (file === undefined) throw new CovoteError("internal", "an empty command");
  return new Promise((resolve) => {
    const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs });
    let output = "";
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", (error) => resolve({ code: 127, output: error.message }));
    child.once("close", (code) => resolve({ code: code ?? 1, output }));
  });
}
