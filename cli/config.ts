/**
 * `covote config`: the configuration as YAML, every field with its sentence, default and bounds; what it prints can
 * be given back with `--config`.
 */
import { Command } from "commander";
import { stringify } from "yaml";
import { type ConfigField, listFields, printable } from "../lib/host/config-fields.js";
import { type CovoteConfig, covoteConfigSchema } from "../lib/host/covote-config.js";
import { type ConfigFlags, compileFlags, withConfig } from "./options.js";
import { wrapWords } from "./run/text.js";
import type { Terminal } from "./terminal.js";

interface Flags extends ConfigFlags {
  json?: boolean;
}

const help = `
Every field can be set in a file (--config), by a variable (judging.votes is COVOTE_JUDGING_VOTES) or by --set, in
this order; the last one counts. Passwords in URLs are not printed.

Example:
  covote config > covote.yaml
  covote config --config covote.yaml --set judging.votes=8
`;

export function configCommand(terminal: Terminal): Command {
  return withConfig(new Command("config"))
    .description(
      "Print the configuration that the given flags, file and variables make, every field with a sentence",
    )
    .option("--json", "print one JSON object, without the sentences")
    .addHelpText("after", help)
    .action((flags: Flags) => {
      const config = compileFlags(flags, {}, terminal.env);
      const fields = listFields(covoteConfigSchema);
      terminal.stdout.write(
        flags.json === true ? `${JSON.stringify(printable(config, fields))}\n` : renderConfig(config, fields),
      );
    });
}

const lineWidth = 110;

/** YAML with a comment before each field. */
export function renderConfig(config: CovoteConfig, fields: readonly ConfigField[]): string {
  const shown = printable(config, fields) as Record<string, Record<string, unknown>>;
  const lines: string[] = [];
  let open = "";
  for (const field of fields) {
    const [section = "", key = ""] = field.path.split(".");
    if (section !== open) {
      lines.push(...(open === "" ? [] : [""]), `${section}:`);
      open = section;
    }
    for (const line of wrapWords(`${field.description} ${boundsOf(field)}`, lineWidth - 4)) {
      lines.push(`  # ${line}`);
    }
    lines.push(`  ${stringify({ [key]: shown[section]?.[key] }).trimEnd()}`);
  }
  return `${lines.join("\n")}\n`;
}

/** `Default 4; 1 to 128.` */
function boundsOf({ default: standard, minimum, maximum, choices }: ConfigField): string {
  const from = minimum === undefined ? "" : `${minimum} `;
  const to = maximum === undefined ? "" : `to ${maximum}`;
  const range = choices?.join(", ") ?? `${from}${to}`.trim();
  return `Default ${JSON.stringify(standard)}${range === "" ? "" : `; ${range}`}.`;
}
