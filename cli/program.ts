/**
 * The `covote` program: finds the command, loads it, runs it.
 *
 * Whatever is wrong with the command line is a CovoteError of one line that says where help is.
 */
import { Command, CommanderError } from "commander";
import { CovoteError } from "../lib/core/errors.js";
import { packageVersion } from "../lib/core/package-root.js";
import { editDistance } from "../lib/host/nearest.js";
import { commands } from "./commands.js";
import type { Terminal } from "./terminal.js";

const description =
  "A reward cluster for online RL: generative reward models vote, a meta reward model filters, a policy learns";

const examples = `
Examples:
  covote train                          train the demo policy here, with everything that takes
  covote up                             start the cluster and keep it running
  covote score --query "query to aunt from sea be thanks ." --response "dear aunt shells" --response "hey"

covote COMMAND --help says more.
`;

/** Runs `args` (without node and script); resolves to the exit code, rejects with CovoteErrors. */
export async function runProgram(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = await buildProgram(args, terminal);
  try {
    await program.parseAsync([...args], { from: "user" });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return 0;
    if (thrown.code === "commander.help") return 2;
    throw usageError(thrown, args);
  }
  return Number(terminal.exitCode ?? 0);
}

async function buildProgram(args: readonly string[], terminal: Terminal): Promise<Command> {
  const words = args.filter((arg) => !arg.startsWith("-"));
  const wanted = words[0] === "help" ? words[1] : words[0];
  if (wanted !== undefined && wanted !== "help" && !Object.hasOwn(commands, wanted))
    throw unknownCommand(wanted);
  const program = new Command("covote")
    .description(description)
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText("after", examples)
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      // `covote` alone is a question: what it can do goes where answers go.
      writeErr: (text) => terminal.stdout.write(text),
      outputError: () => undefined,
    })
    .exitOverride();
  for (const [name, entry] of Object.entries(commands)) {
    const command =
      name === wanted ? await entry.load(terminal) : new Command(name).description(entry.summary);
    program.addCommand(command.summary(entry.summary));
  }
  settle(program);
  return program;
}

/** Subcommands that were built elsewhere take over how the program reports errors. */
function settle(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent).helpOption("-h, --help", "print this");
    settle(command);
  }
}

function unknownCommand(name: string): CovoteError {
  const near = Object.keys(commands).find((known) => editDistance(name.toLowerCase(), known) <= 2);
  const hint = near === undefined ? "covote --help lists them" : `did you mean covote ${near}?`;
  return new CovoteError("invalid_argument", `there is no command ${JSON.stringify(name)}; ${hint}`);
}

function usageError(thrown: CommanderError, args: readonly string[]): CovoteError {
  const [problem = "", suggestion] = thrown.message.replace(/^error: /, "").split("\n");
  const hint = suggestion?.match(/Did you mean (.*)\?/)?.[1];
  const command = args.find((arg) => Object.hasOwn(commands, arg));
  const help = `covote ${command === undefined ? "" : `${command} `}--help shows what there is`;
  return new CovoteError(
    "invalid_argument",
    `${problem}; ${hint === undefined ? help : `did you mean ${hint}?`}`,
    { cause: thrown },
  );
}
