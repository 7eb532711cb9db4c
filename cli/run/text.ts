/** Numbers and lines for people: durations, counts, sparklines, ANSI styles, clipping to a width. */
import { relative } from "node:path";

/** `0:07`, `2:41`, `1:02:03`; a dash for what is not known. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const total = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (n: number): string => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** `12,345`; a dash for what is not a number. */
export function count(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "–";
}

export function decimals(value: number | null, digits: number): string {
  return value === null || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

/** With its sign; a true minus, as wide as the plus. */
export function signed(value: number, digits: number): string {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  return `${value < 0 && Number(text) !== 0 ? "−" : "+"}${text}`;
}

/** Milliseconds in the unit that reads best: `0.4 ms`, `38 ms`, `1.2 s`. */
export function latency(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms >= 10_000 ? 0 : 1)} s`;
  return `${ms.toFixed(ms >= 10 ? 0 : 1)} ms`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${Math.round(n) === 1 ? one : many}`;
}

const bars = "▁▂▃▄▅▆▇█";

/** The values as a row of bars, as wide as asked: neighbours share a bar when there are too many. */
export function sparkline(values: readonly number[], width: number): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length < 2 || width < 2) return "";
  const cells = Math.min(width, finite.length);
  const means = Array.from({ length: cells }, (_, i) =>
    mean(
      finite.slice(Math.floor((i * finite.length) / cells), Math.floor(((i + 1) * finite.length) / cells)),
    ),
  );
  const low = Math.min(...means);
  const range = Math.max(...means) - low;
  return means
    .map((value) => bars[range === 0 ? 0 : Math.min(7, Math.floor((8 * (value - low)) / range))])
    .join("");
}

export function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
}

export interface TextStyle {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  accent(text: string): string;
}

export function textStyle(colour: boolean): TextStyle {
  const wrap =
    (open: number, close: number) =>
    (text: string): string =>
      colour && text !== "" ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  return { bold: wrap(1, 22), dim: wrap(2, 22), good: wrap(32, 39), bad: wrap(31, 39), accent: wrap(36, 39) };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what opens a style.
const stylePattern = /(\u001b\[[0-9;]*m)/g;

/** Columns that the text takes on a terminal, styles left out. */
export function visibleLength(text: string): number {
  return [...text.replace(stylePattern, "")].length;
}

/** Pads on the right by visible columns. */
export function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - visibleLength(text)));
}

/** Cut to `width` columns with an ellipsis; open styles are closed. */
export function clip(text: string, width: number): string {
  if (visibleLength(text) <= width) return text;
  if (width < 1) return "";
  let out = "";
  let used = 0;
  let styled = false;
  for (const part of text.split(stylePattern)) {
    if (part.startsWith("\u001b[")) {
      styled = true;
      out += part;
      continue;
    }
    const letters = [...part];
    const room = width - 1 - used;
    if (letters.length > room) {
      out += `${letters.slice(0, Math.max(0, room)).join("")}…`;
      return styled ? `${out}\u001b[0m` : out;
    }
    out += part;
    used += letters.length;
  }
  return out;
}

/** Words broken into lines of at most `width` columns; a longer word stands alone. */
export function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((w) => w !== "")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  if (line !== "") lines.push(line);
  return lines;
}

/** An absolute path as somebody who stands in `cwd` would write it. */
export function shortPath(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short === "" ? "." : short.startsWith("..") ? path : short;
}
