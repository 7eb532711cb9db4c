/** What a command sees of the process that it runs in; `process` is one. Tests bring their own. */
export interface Terminal {
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  readonly stdin: AsyncIterable<Uint8Array | string> & { isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  exitCode?: number | string | null | undefined;
  once(signal: "SIGINT" | "SIGTERM", call: () => void): unknown;
  off(signal: "SIGINT" | "SIGTERM", call: () => void): unknown;
}

export interface TerminalStream {
  write(text: string | Uint8Array): boolean;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

/** Columns to write in: the terminal's (80 where it does not know them), or 100 in pipes and files. */
export function columnsOf({ stdout }: Pick<Terminal, "stdout">): number {
  return stdout.isTTY === true ? stdout.columns || 80 : 100;
}

/** A signal that SIGINT or SIGTERM aborts, until `release` is called. */
export function interruption(terminal: Terminal): { signal: AbortSignal; release: () => void } {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  terminal.once("SIGINT", onSignal);
  terminal.once("SIGTERM", onSignal);
  return {
    signal: stop.signal,
    release: () => {
      terminal.off("SIGINT", onSignal);
      terminal.off("SIGTERM", onSignal);
    },
  };
}
