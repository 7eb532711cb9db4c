/** A terminal without a screen: what a command writes is kept, signals come from the test. */
import { EventEmitter } from "node:events";
import { runProgram } from "../../cli/program.js";
import type { Terminal } from "../../cli/terminal.js";
import { CovoteError } from "../../lib/core/errors.js";
import { errorLine, exitCodeOf } from "../../lib/host/main.js";

export interface FakeTerminal extends Terminal {
  out(): string;
  err(): string;
  /** Resolves when what was written to standard output contains the text. */
  written(text: string): Promise<void>;
  send(signal: "SIGINT" | "SIGTERM"): void;
}

export function fakeTerminal(
  options: { stdin?: string | Uint8Array; env?: Record<string, string> } = {},
): FakeTerminal {
  const signals = new EventEmitter();
  const written = { stdout: "", stderr: "" };
  const waiting = new Set<() => void>();
  const stream = (name: "stdout" | "stderr"): Terminal["stdout"] => ({
    write: (text) => {
      written[name] += typeof text === "string" ? text : Buffer.from(text).toString("utf8");
      for (const check of waiting) check();
      return true;
    },
  });
  async function* stdin(): AsyncGenerator<Uint8Array> {
    if (options.stdin !== undefined) yield Buffer.from(options.stdin as string);
  }
  return {
    stdout: stream("stdout"),
    stderr: stream("stderr"),
    stdin: Object.assign(stdin(), { isTTY: options.stdin === undefined }),
    // What the machine has installed, but none of its settings.
    env: { PATH: process.env.PATH ?? "", ...options.env },
    exitCode: undefined,
    once: (signal, call) => signals.once(signal, call),
    off: (signal, call) => signals.off(signal, call),
    out: () => written.stdout,
    err: () => written.stderr,
    written: (text) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!written.stdout.includes(text)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    send: (signal) => void signals.emit(signal),
  };
}

export interface CommandResult {
  code: number;
  out: string;
  /** What standard error would show, the error's line included. */
  err: string;
}

/** Runs `covote` in this process, as its main does. */
export async function covote(args: readonly string[], terminal = fakeTerminal()): Promise<CommandResult> {
  try {
    const code = await runProgram(args, terminal);
    return { code, out: terminal.out(), err: terminal.err() };
  } catch (thrown) {
    const code = exitCodeOf(CovoteError.from(thrown));
    return { code, out: terminal.out(), err: `${terminal.err()}${errorLine("covote", thrown)}\n` };
  }
}
