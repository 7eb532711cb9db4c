/** The judgment grammars that covote speaks, by the name that a configuration gives. */
import { deepseekGrm } from "./deepseek.js";
import { deepseekSingle } from "./deepseek-single.js";
import type { Grammar } from "./judgment.js";
import { postcards } from "./postcards.js";
import { postcardsCritique } from "./postcards-critique.js";

export type { Grammar } from "./judgment.js";

export const grammars = {
  postcards,
  "postcards-critique": postcardsCritique,
  "deepseek-grm": deepseekGrm,
  "deepseek-grm-single": deepseekSingle,
} satisfies Record<string, Grammar>;
