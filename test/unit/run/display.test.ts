import { EventEmitter } from "node:events";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createDisplay, type DisplayOptions } from "../../../cli/run/display.js";
import { type LiveView, renderLive, secondsLeft } from "../../../cli/run/live-view.js";
import {
  clip,
  duration,
  latency,
  signed,
  sparkline,
  textStyle,
  visibleLength,
} from "../../../cli/run/text.js";
import { createManualClock } from "../../../lib/core/clock.js";
import { stepRecord, stepRecords } from "./run-records.js";

/** A stream that remembers, and a terminal of the given size. */
function createTerminal(over: { isTTY?: boolean; columns?: number; rows?: number } = {}) {
  const writes: string[] = [];
  const stream = {
    write: (text: string) => {
      writes.push(text);
      return true;
    },
    isTTY: true,
    columns: 100,
    rows: 30,
    writableNeedDrain: false,
    ...over,
  };
  return { stream, writes, text: () => writes.join("") };
}

const clock = createManualClock();
const options = (over: Partial<DisplayOptions>): DisplayOptions => ({
  stream: createTerminal().stream,
  clock,
  title: "covote train",
  totalSteps: 50,
  env: {},
  ...over,
});

/** What a terminal shows after these writes, as far as the display's own codes go. */
function screen(writes: readonly string[]): string[] {
  const rows: string[] = [];
  let row = 0;
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the codes of terminals.
  for (const part of writes.join("").split(/(\u001b\[[?0-9;]*[A-Za-z]|\n|\r)/)) {
    if (part === "\n") [row, column] = [row + 1, 0];
    else if (part === "\r") column = 0;
    else if (part.endsWith("A") && part.startsWith("\u001b")) row -= Number(part.slice(2, -1));
    else if (part === "\u001b[K") rows[row] = (rows[row] ?? "").slice(0, column);
    else if (part === "\u001b[J") rows.splice(row);
    else if (!part.startsWith("\u001b")) {
      const old = (rows[row] ?? "").padEnd(column);
      rows[row] = old.slice(0, column) + part + old.slice(column + part.length);
      column += part.length;
    }
  }
  return rows;
}

describe("display on a terminal", () => {
  test("draws in place, at most ten times a second", async () => {
    const terminal = createTerminal();
    const display = createDisplay(options({ stream: terminal.stream }));
    display.begin("training");
    const before = terminal.writes.length;
    for (let step = 1; step <= 40; step++) {
      display.step(stepRecord(step));
      await clock.advance(10);
    }
    expect(terminal.writes.length - before).toBeLessThanOrEqual(4);
    display.close();
    const shown = screen(terminal.writes);
    expect(shown.filter((line) => line.includes("training")).length).toBe(1);
    expect(shown.join("\n")).toContain("4.80"); // reward of step 40
  });

  test("hides the cursor and gives it back, also when the process exits in between", () => {
    const process = new EventEmitter();
    const terminal = createTerminal();
    const display = createDisplay(options({ stream: terminal.stream, exit: process }));
    expect(terminal.text()).toContain("\u001b[?25l");
    process.emit("exit");
    expect(terminal.text().endsWith("\u001b[?25h")).toBe(true);
    display.close();
    const other = createTerminal();
    createDisplay(options({ stream: other.stream, exit: process })).close();
    expect(other.text().endsWith("\u001b[?25h")).toBe(true);
    expect(process.listenerCount("exit")).toBe(0);
  });

  test("nothing is drawn after close", async () => {
    const terminal = createTerminal();
    const display = createDisplay(options({ stream: terminal.stream }));
    display.begin("training");
    display.step(stepRecord(1));
    display.close();
    const written = terminal.writes.length;
    display.step(stepRecord(2));
    display.note("late");
    display.close();
    await clock.advance(5000);
    expect(terminal.writes.length).toBe(written);
    expect(clock.pending()).toBe(0);
  });

  test("a note stands above the display and stays", async () => {
    const terminal = createTerminal();
    const display = createDisplay(options({ stream: terminal.stream }));
    display.begin("training");
    display.note("nats-server was away for 1.2 s");
    display.step(stepRecord(1));
    await clock.advance(2000);
    display.close();
    const shown = screen(terminal.writes);
    expect(shown[0]).toBe("nats-server was away for 1.2 s");
    expect(shown.filter((line) => line.includes("covote train")).length).toBe(1);
  });

  test("waits for a slow terminal instead of piling up", async () => {
    const terminal = createTerminal();
    const display = createDisplay(options({ stream: terminal.stream }));
    display.begin("training");
    await clock.advance(200);
    terminal.stream.writableNeedDrain = true;
    const before = terminal.writes.length;
    for (let step = 1; step <= 10; step++) {
      display.step(stepRecord(step));
      await clock.advance(200);
    }
    expect(terminal.writes.length).toBe(before);
    terminal.stream.writableNeedDrain = false;
    await clock.advance(200);
    expect(terminal.writes.length).toBeGreaterThan(before);
    display.close();
  });

  test("NO_COLOR leaves styles out, not the curves", () => {
    const terminal = createTerminal();
    const display = createDisplay(options({ stream: terminal.stream, env: { NO_COLOR: "1" } }));
    display.begin("training");
    for (let step = 1; step <= 20; step++) display.step(stepRecord(step));
    display.close();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the codes of terminals.
    expect(terminal.text()).not.toMatch(/\u001b\[\d+m/);
    expect(terminal.text()).toContain("▁");
  });
});

describe("display elsewhere", () => {
  test("a line for each phase and one every so many steps, without codes", async () => {
    const terminal = createTerminal({ isTTY: false });
    const display = createDisplay(options({ stream: terminal.stream, totalSteps: 25 }));
    display.begin("preparing");
    display.detail("6 services");
    await clock.advance(1200);
    display.begin("training");
    for (let step = 1; step <= 25; step++) {
      display.step(stepRecord(step, { nulls: 1 }));
      await clock.advance(100);
    }
    display.close();
    const lines = terminal.text().trim().split("\n");
    expect(lines.map((line) => line.split("  ")[0])).toEqual([
      "covote train",
      "preparing…",
      "preparing took 1.2 s: 6 services",
      "training…",
      "step 1/25",
      "step 11/25",
      "step 21/25",
      "step 25/25",
      "training took 2.5 s",
    ]);
    expect(lines[5]).toContain("nulls 10");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point.
    expect(terminal.text()).not.toMatch(/\u001b/);
  });

  test("slow steps are told of by the clock", async () => {
    const terminal = createTerminal({ isTTY: false });
    const display = createDisplay(options({ stream: terminal.stream }));
    display.begin("training");
    for (let step = 1; step <= 4; step++) {
      await clock.advance(6000);
      display.step(stepRecord(step));
    }
    expect(terminal.text().match(/^step /gm)?.length).toBe(2);
    display.close();
  });

  test("TERM=dumb is no terminal", () => {
    const terminal = createTerminal();
    createDisplay(options({ stream: terminal.stream, env: { TERM: "dumb" } })).close();
    expect(terminal.text()).toBe("covote train\n");
  });
});

describe("live view", () => {
  const view = (over: Partial<LiveView> = {}): LiveView => ({
    title: "covote train · postcards · seed 1",
    totalSteps: 120,
    phases: [
      { phase: "preparing", detail: "6 services", progress: null, startedMs: 0, endedMs: 900 },
      { phase: "evaluating before", detail: "", progress: null, startedMs: 900, endedMs: 2000 },
      { phase: "training", detail: "", progress: null, startedMs: 2000, endedMs: null },
    ],
    records: stepRecords(57),
    lastStepMs: 80_000,
    nowMs: 80_000,
    ...over,
  });

  test("no line is wider than the terminal, whatever its size", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 140 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 60 }),
        fc.boolean(),
        (columns, rows, steps, colour) => {
          const lines = renderLive(
            view({ records: stepRecords(steps) }),
            { columns, rows },
            textStyle(colour),
          );
          expect(lines.length).toBeLessThanOrEqual(Math.max(1, rows - 1));
          for (const line of lines) expect(visibleLength(line)).toBeLessThanOrEqual(Math.max(1, columns - 1));
        },
      ),
    );
  });

  test("a wide terminal shows everything", () => {
    const text = renderLive(view(), { columns: 100, rows: 30 }, textStyle(false)).join("\n");
    for (const word of [
      "✓ preparing",
      "57 of 120",
      "1:35 left",
      "━",
      "reward  ",
      "oracle utility",
      "votes/s",
      "310 ms  p50   640 ms p99",
      "KL",
      "staleness",
      "nulls",
      "○ evaluating after",
    ]) {
      expect(text).toContain(word);
    }
  });

  test("a low terminal keeps one line", () => {
    const lines = renderLive(view(), { columns: 100, rows: 8 }, textStyle(false));
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain("step 57/120");
  });

  test("the remaining time follows the speed of the last steps", () => {
    const slowThenFast = stepRecords(100).map((r) => ({
      ...r,
      time_s: r.step <= 70 ? r.step * 10 : 700 + r.step - 70,
    }));
    expect(secondsLeft(slowThenFast, 120)).toBeCloseTo(20, 5);
    expect(secondsLeft([], 120)).toBeNaN();
  });
});

describe("text", () => {
  test("numbers read well at every size", () => {
    expect([7, 161, 3723, Number.NaN].map(duration)).toEqual(["0:07", "2:41", "1:02:03", "–"]);
    expect([0.42, 38.4, 1240, 12_400].map(latency)).toEqual(["0.4 ms", "38 ms", "1.2 s", "12 s"]);
    expect([0.381, -0.2, -0.0001].map((x) => signed(x, 2))).toEqual(["+0.38", "−0.20", "+0.00"]);
  });

  test("a sparkline is as wide as asked, low to high", () => {
    expect(sparkline([1, 2, 3, 4, 5, 6, 7, 8], 8)).toBe("▁▂▃▄▅▆▇█");
    expect(
      visibleLength(
        sparkline(
          Array.from({ length: 500 }, (_, i) => Math.sin(i)),
          30,
        ),
      ),
    ).toBe(30);
    expect(sparkline([1], 8)).toBe("");
  });

  test("clipping counts what is visible and closes styles", () => {
    const style = textStyle(true);
    expect(clip(`ab${style.bold("cdef")}`, 4)).toBe("ab\u001b[1mc…\u001b[0m");
    expect(clip("abc", 3)).toBe("abc");
  });
});
