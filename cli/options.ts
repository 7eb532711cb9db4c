/** Options that several commands share, and how they become a configuration. */
import type { Command } from "commander";
import { invalid } from "../lib/core/errors.js";
import { type CovoteConfig, compileCovoteConfig } from "../lib/host/covote-config.js";

export interface ConfigFlags {
  config?: string;
  set: string[];
}

/** `--config FILE` and `--set path=value`. */
export function withConfig(command: Command): Command {
  return command
    .option("--config <file>", "configuration, YAML or JSON (covote config prints the default)")
    .option("--set <path=value>", "set one field, e.g. --set judging.votes=8; repeatable", collect, []);
}

export function compileFlags(
  flags: ConfigFlags,
  more: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): CovoteConfig {
  const overrides: Record<string, unknown> = {};
  for (const setting of flags.set) {
    const at = setting.indexOf("=");
    if (at < 1) throw invalid("--set", `must be path=value, got ${JSON.stringify(setting)}`);
    overrides[setting.slice(0, at)] = setting.slice(at + 1);
  }
  return compileCovoteConfig({
    ...(flags.config !== undefined && { file: flags.config }),
    overrides: { ...overrides, ...more },
    env,
  });
}

function collect(value: string, all: string[]): string[] {
  return [...all, value];
}
