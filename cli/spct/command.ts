/** `covote spct`: training a generative reward model (self-principled critique tuning, arXiv 2504.02495). */
import { Command } from "commander";
import { baselineCommand } from "../baselines/command.js";
import type { Terminal } from "../terminal.js";
import { dataCommand } from "./data.js";
import { metaRmCommand } from "./meta-rm.js";
import { sftCommand } from "./sft.js";
import { studyCommand } from "./study/command.js";
import { trainGrmCommand } from "./train-grm.js";

const help = `
Example:
  covote spct rft prefs.jsonl --out models/mine-rft
  covote spct rl prefs.jsonl --base models/mine-rft --out models/mine-rl

Each prints its summary as one object with --json. A data set has one preference per line:
  {"query": text or messages, "responses": [text, …], "best": index}, or "scores": [number, …] for "best"
`;

export function spctCommand(terminal: Terminal): Command {
  return new Command("spct")
    .description("Train the reward model itself: rejective fine-tuning, rule-based reinforcement")
    .addHelpText("after", help)
    .addCommand(trainGrmCommand(terminal, "rft"))
    .addCommand(trainGrmCommand(terminal, "rl"))
    .addCommand(metaRmCommand(terminal))
    .addCommand(baselineCommand(terminal))
    .addCommand(sftCommand(terminal))
    .addCommand(dataCommand(terminal))
    .addCommand(studyCommand(terminal));
}
