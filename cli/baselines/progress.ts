/** How far a baseline's training is: one line redrawn on a terminal, a line now and then elsewhere. */
import type { Clock } from "../../lib/core/clock.js";
import { clip, count } from "../run/text.js";
import type { TerminalStream } from "../terminal.js";
import type { BaselineProgress } from "./training.js";

const redrawMs = 200;
const plainMs = 10_000;

export function baselineProgress(
  stream: Pick<TerminalStream, "write" | "isTTY" | "columns">,
  clock: Clock,
): (progress: BaselineProgress) => void {
  const live = stream.isTTY === true;
  let shownMs = Number.NEGATIVE_INFINITY;
  let smooth = Number.NaN;
  return (progress) => {
    if (progress.t === "training")
      smooth = Number.isNaN(smooth) ? progress.loss : 0.95 * smooth + 0.05 * progress.loss;
    const over =
      progress.t === "sampling" ? progress.done === progress.total : progress.step === progress.steps;
    if (!over && clock.monotonic() - shownMs < (live ? redrawMs : plainMs)) return;
    shownMs = clock.monotonic();
    const line =
      progress.t === "sampling"
        ? `sampling: ${count(progress.done)} of ${count(progress.total)} questions`
        : `step ${count(progress.step)} of ${count(progress.steps)}, loss ${smooth.toFixed(4)}`;
    stream.write(
      live ? `\r${clip(line, (stream.columns ?? 80) - 1)}\u001b[K${over ? "\n" : ""}` : `${line}\n`,
    );
  };
}
