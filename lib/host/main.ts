/**
 * The outermost frame of a process: what a person sees when something goes wrong.
 *
 * An expected error is one line on standard error; a fault is one line too, unless `debug` asks for the
 * stack. Exit codes: 0 done, 1 it went wrong while running, 2 it could not start as asked (bad input, a used
 * port, something that is not there).
 */
import { CovoteError, type ErrorCode } from "../core/errors.js";

export interface MainOptions {
  /** Command name in front of the line. */
  name: string;
  /** Print stacks: main files pass whether COVOTE_DEBUG is set. */
  debug: boolean;
  /** Where the line goes, and how the process ends; replaced in tests. */
  write?: (line: string) => void;
  exit?: (code: number) => void;
}

const exitCodes: Record<ErrorCode, 1 | 2> = {
  invalid_argument: 2,
  failed_precondition: 2,
  not_found: 2,
  already_exists: 2,
  unavailable: 2,
  deadline_exceeded: 1,
  overloaded: 1,
  cancelled: 1,
  internal: 1,
};

export function exitCodeOf(error: CovoteError): 1 | 2 {
  return exitCodes[error.code];
}

/** The line for people: `covote: judging.votes: must be at least 1, got 0`. */
export function errorLine(name: string, thrown: unknown): string {
  const error = CovoteError.from(thrown);
  const text = error.message.split(/\r?\n/, 1)[0] || "no message";
  return error.code === "internal"
    ? `${name}: internal error: ${text} (COVOTE_DEBUG=1 shows where)`
    : `${name}: ${text}`;
}

/** Runs `main` and sets the exit code it resolves to; 0 when it resolves to nothing. */
export async function runMain(
  main: () => Promise<number | undefined> | Promise<void>,
  options: MainOptions,
): Promise<void> {
  const write = options.write ?? ((line) => void process.stderr.write(line));
  const exit = options.exit ?? ((code) => process.exit(code));
  const report = (thrown: unknown): number => {
    write(`${errorLine(options.name, thrown)}\n`);
    if (options.debug) write(`${stackOf(thrown)}\n`);
    return exitCodeOf(CovoteError.from(thrown));
  };
  const fatal = (thrown: unknown): void => exit(report(thrown));
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);
  // A reader that has seen enough (`covote … | head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    error.code === "EPIPE" ? exit(0) : fatal(error),
  );
  // There is nobody left to tell.
  process.stderr.on("error", () => undefined);
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (thrown) {
    process.exitCode = report(thrown);
  }
  // Whatever was not closed must not keep a process alive that has nothing left to do.
  setTimeout(() => exit(Number(process.exitCode)), lingerMs).unref();
}

/** Time for the last output to leave, in milliseconds. */
const lingerMs = 3000;

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? "" : `\ncaused by: ${stackOf(thrown.cause)}`;
  return `${thrown.stack ?? thrown.message}${cause}`;
}
