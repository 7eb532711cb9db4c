/**
 * The label of a panel, which shows an item's responses in an order of its own: scores as a judgment gives them,
 * and the position that a hint names, are in the order shown.
 */

import { invalid } from "../core/errors.js";
import type { Random } from "../core/random.js";
import type { CorrectnessLabel } from "../grm/correctness.js";
import { deepseekSingle } from "../grm/deepseek-single.js";
import type { Grammar } from "../grm/judgment.js";

/**
 * The label in the order shown; `order[p]` is the index of the response at position p. Null for a panel that
 * does not show the best response, or shows it alone: no judgment of it can be right or wrong.
 */
export function panelLabel(label: CorrectnessLabel, order: readonly number[]): CorrectnessLabel | null {
  if (order.length === 0 || new Set(order).size !== order.length) {
    throw invalid("order", "must name at least one response, and none twice");
  }
  if (label.t === "score") {
    if (order.length === 1 && order[0] === 0) return label;
    throw invalid("order", `an item of one response is shown as [0], got [${order.join(", ")}]`);
  }
  const index = order.indexOf(label.index);
  return index < 0 || order.length === 1 ? null : { t: "best", index };
}

/** Throws `invalid_argument` for a score that no judgment of the grammar can give: none could be right. */
export function checkLabel({ name }: Pick<Grammar, "name">, label: CorrectnessLabel): void {
  const [lowest, highest] = name === deepseekSingle.name ? [0, 1] : [1, 10];
  if (label.t === "best" || (label.value >= lowest && label.value <= highest)) return;
  throw invalid(
    "scores[0]",
    `is ${label.value}, and judgments in the grammar ${name} give ${lowest} to ${highest}: none can be right`,
  );
}

/**
 * Which responses of an item are shown, and in which order: of more than `limit` of them the best one and some
 * others. `order[p]` is the index of the response at position p.
 */
export function drawOrder(
  { responses, label }: { responses: readonly string[]; label: CorrectnessLabel },
  limit: number,
  random: Random,
): number[] {
  const all = random.shuffle(responses.map((_, i) => i));
  if (label.t !== "best" || all.length <= limit) return all;
  const others = all.filter((i) => i !== label.index).slice(0, limit - 1);
  return random.shuffle([label.index, ...others]);
}
