/**
 * The display of a run: alive on a terminal, plain lines elsewhere (pipes, logs, TERM=dumb).
 *
 * - Alive: one block of lines, redrawn in place at most ten times a second; the cursor is hidden meanwhile and
 *   comes back on `close`, and also when the process exits without it. NO_COLOR leaves the styles out.
 * - Plain: one line when a phase begins or ends and one every `everySteps` steps or `everyMs`.
 * - Stream, clock and environment are arguments; what is shown is decided in `live-view.ts`.
 */
import type { Clock, Timer } from "../../lib/core/clock.js";
import {
  type LiveView,
  type Phase,
  type PhaseState,
  renderLive,
  renderStepLine,
  secondsLeft,
} from "./live-view.js";
import type { StepRecord } from "./records.js";
import { type TextStyle, textStyle, visibleLength } from "./text.js";

export interface Display {
  /** Ends the phase before it. */
  begin(phase: Phase, detail?: string): void;
  /** What the running phase is doing, or what came of it. */
  detail(text: string): void;
  /** For phases that count something other than steps. */
  progress(done: number, total: number): void;
  step(record: StepRecord): void;
  /** One line that stays, e.g. a warning. */
  note(text: string): void;
  /** Ends the running phase, draws a last time, gives the cursor back. Idempotent. */
  close(): void;
}

/** The part of a terminal's stream that is used; `process.stdout` is one. */
export interface DisplayStream {
  write(text: string): boolean;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  writableNeedDrain?: boolean;
}

export interface DisplayOptions {
  stream: DisplayStream;
  clock: Clock;
  title: string;
  totalSteps: number;
  /** Records of the life before, when a run resumes. */
  earlier?: readonly StepRecord[];
  env: { NO_COLOR?: string | undefined; TERM?: string | undefined };
  /** Told when the process exits, so that the cursor comes back: `process`. */
  exit?: { once(event: "exit", call: () => void): unknown; off(event: "exit", call: () => void): unknown };
  /** Plain lines: at least one every so many steps or milliseconds. Defaults 10 and 10,000. */
  everySteps?: number;
  everyMs?: number;
}

const redrawMs = 100;
const tickMs = 1000;
const ansi = {
  hide: "\u001b[?25l",
  show: "\u001b[?25h",
  eraseLine: "\u001b[K",
  eraseBelow: "\u001b[J",
  up: (rows: number) => (rows > 0 ? `\u001b[${rows}A\r` : "\r"),
};

export function createDisplay(options: DisplayOptions): Display {
  const alive = options.stream.isTTY === true && options.env.TERM !== "dumb";
  return alive ? createLiveDisplay(options) : createPlainDisplay(options);
}

/** Styles fit for the stream: none in pipes or with NO_COLOR set. */
export function styleFor(stream: DisplayStream, env: DisplayOptions["env"]): TextStyle {
  return textStyle(stream.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb");
}

/** The phases begun so far; `begin` and `end` are the only ways to change them. */
function createPhaseLog(clock: Clock): {
  states: PhaseState[];
  current(): PhaseState | undefined;
  begin(phase: Phase, detail: string): void;
  end(): PhaseState | undefined;
} {
  const states: PhaseState[] = [];
  const current = (): PhaseState | undefined => {
    const last = states.at(-1);
    return last?.endedMs === null ? last : undefined;
  };
  const end = (): PhaseState | undefined => {
    const ending = current();
    if (ending !== undefined) ending.endedMs = clock.monotonic();
    return ending;
  };
  return {
    states,
    current,
    begin: (phase, detail) => {
      end();
      states.push({ phase, detail, progress: null, startedMs: clock.monotonic(), endedMs: null });
    },
    end,
  };
}

function createLiveDisplay(options: DisplayOptions): Display {
  const { stream, clock, title, totalSteps, exit } = options;
  const style = styleFor(stream, options.env);
  const log = createPhaseLog(clock);
  const records = [...(options.earlier ?? [])];
  let drawn: string[] = [];
  let drawnMs = -Infinity;
  let lastStepMs: number | null = null;
  let pending: Timer | null = null;
  let closed = false;

  const columns = (): number => stream.columns ?? 80;
  const view = (): LiveView => ({
    title,
    totalSteps,
    phases: log.states,
    records,
    lastStepMs,
    nowMs: clock.monotonic(),
  });

  /** Rows that the last block takes now: a terminal made narrower has wrapped its lines. */
  const rowsDrawn = (): number =>
    drawn.reduce((rows, line) => rows + Math.max(1, Math.ceil(visibleLength(line) / columns())), 0);

  function draw(above = ""): void {
    const lines = renderLive(view(), { columns: columns(), rows: stream.rows ?? 24 }, style);
    const block = lines.map((line) => `${line}${ansi.eraseLine}\n`).join("");
    const start = drawn.length === 0 ? "\r" : ansi.up(rowsDrawn());
    stream.write(`${start}${above}${block}${ansi.eraseBelow}`);
    drawn = lines;
    drawnMs = clock.monotonic();
  }

  /** Draws now, or as soon as the last drawing is old enough and the terminal has taken it. */
  function changed(): void {
    if (closed || pending !== null) return;
    const wait = drawnMs + redrawMs - clock.monotonic();
    if (wait <= 0 && stream.writableNeedDrain !== true) {
      draw();
      return;
    }
    pending = clock.after(
      Math.max(wait, 10),
      () => {
        pending = null;
        changed();
      },
      { background: true },
    );
  }

  const showCursor = (): void => {
    stream.write(ansi.show);
  };
  stream.write(ansi.hide);
  exit?.once("exit", showCursor);
  const ticking = clock.every(tickMs, changed, { background: true });

  return {
    begin: (phase, detail = "") => {
      log.begin(phase, detail);
      changed();
    },
    detail: (text) => {
      const current = log.current();
      if (current !== undefined) current.detail = text;
      changed();
    },
    progress: (done, total) => {
      const current = log.current();
      if (current !== undefined) current.progress = { done, total };
      changed();
    },
    step: (record) => {
      records.push(record);
      lastStepMs = clock.monotonic();
      changed();
    },
    note: (text) => {
      if (!closed) draw(`${text}${ansi.eraseLine}\n`);
    },
    close: () => {
      if (closed) return;
      log.end();
      pending?.cancel();
      ticking.cancel();
      draw();
      closed = true;
      showCursor();
      exit?.off("exit", showCursor);
    },
  };
}

function createPlainDisplay(options: DisplayOptions): Display {
  const { stream, clock, title, totalSteps, everySteps = 10, everyMs = 10_000 } = options;
  const log = createPhaseLog(clock);
  const records = [...(options.earlier ?? [])];
  let since: StepRecord[] = [];
  let printedMs = -Infinity;
  let closed = false;

  const print = (line: string): void => {
    stream.write(`${line}\n`);
  };
  const flush = (): void => {
    if (since.length === 0) return;
    print(renderStepLine(since, totalSteps, secondsLeft(records, totalSteps)));
    since = [];
    printedMs = clock.monotonic();
  };
  const end = (): void => {
    flush();
    const ended = log.end();
    if (ended === undefined) return;
    const seconds = ((ended.endedMs ?? 0) - ended.startedMs) / 1000;
    const detail = ended.detail === "" ? "" : `: ${ended.detail}`;
    print(`${ended.phase} took ${seconds.toFixed(1)} s${detail}`);
  };
  print(title);

  return {
    begin: (phase, detail = "") => {
      end();
      log.begin(phase, detail);
      print(`${phase}…`);
      printedMs = clock.monotonic();
    },
    detail: (text) => {
      const current = log.current();
      if (current !== undefined) current.detail = text;
    },
    progress: () => {},
    step: (record) => {
      records.push(record);
      since.push(record);
      const due = since.length >= everySteps || clock.monotonic() - printedMs >= everyMs;
      if (due || record.step === 1 || record.step >= totalSteps) flush();
    },
    note: print,
    close: () => {
      if (closed) return;
      end();
      closed = true;
    },
  };
}
