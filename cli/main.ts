/** The `covote` command. */
import { Command, CommanderError } from "commander";
import { CovoteError } from "../lib/core/errors.js";
import { runMain } from "../lib/host/main.js";
import { tallyCommand } from "./tally.js";
import { trainCommand } from "./train/command.js";
import { packageVersion } from "./train/summarise.js";

const program = new Command("covote")
  .description(
    "A reward cluster for online RL: generative reward models vote, a meta RM filters, a policy learns",
  )
  .version(packageVersion())
  .addCommand(trainCommand(process))
  .addCommand(tallyCommand());

for (const command of [program, ...program.commands]) {
  command.exitOverride().configureOutput({ writeErr: () => undefined, outputError: () => undefined });
}

await runMain(
  async () => {
    try {
      await program.parseAsync(process.argv);
    } catch (thrown) {
      if (!(thrown instanceof CommanderError)) throw thrown;
      if (thrown.exitCode === 0) return 0;
      if (thrown.code === "commander.help") return showHelp();
      const message = thrown.message.replace(/^error: /, "");
      throw new CovoteError("invalid_argument", `${message}; covote --help shows what there is`);
    }
    return Number(process.exitCode ?? 0);
  },
  { name: "covote", debug: process.env.COVOTE_DEBUG === "1" },
);

function showHelp(): number {
  process.stdout.write(program.helpInformation());
  return 2;
}
