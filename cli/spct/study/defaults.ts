/**
 * What a stage's arguments leave open: the defaults of its command's options and of the configuration, and the demo
 * world as it is. A default that changes makes the stage run again.
 */
import type { Command } from "commander";
import { seedFrom } from "../../../lib/core/random.js";
import { compileCovoteConfig } from "../../../lib/host/covote-config.js";
import { createPreferenceStream } from "../../../worlds/postcards/preferences.js";
import { recipes as baselineRecipes } from "../../baselines/kinds.js";
import { evalCommand } from "../../eval/command.js";
import type { Terminal } from "../../terminal.js";
import { trainCommand } from "../../train/command.js";
import { recipes } from "../train-grm.js";

/** Preferences that stand for the demo world's. */
const sampled = 50;

/** `spct`: the command that the study belongs to, for its other subcommands. */
export function stageDefaults(terminal: Terminal, spct: Command): (args: readonly string[]) => unknown {
  const others: readonly Command[] = [evalCommand(terminal), trainCommand(terminal)];
  const draw = createPreferenceStream(seedFrom("study's world"));
  const world = Array.from({ length: sampled }, draw);
  const config = compileCovoteConfig();
  return ([first = "", second = ""]) => {
    const command = (first === "spct" ? spct.commands : others).find(
      (each) => each.name() === (first === "spct" ? second : first),
    );
    const options = command?.options.map(({ long, defaultValue }): unknown => [long, defaultValue]);
    const recipe = { ...recipes, baseline: baselineRecipes }[second];
    return { options, recipe, config, world };
  };
}
