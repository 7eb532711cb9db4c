/** `covote up` as a command: flags in, the table of what listens where out. */
import { resolve } from "node:path";
import { Command } from "commander";
import { type ConfigFlags, compileFlags, withConfig } from "../options.js";
import { styleFor } from "../run/display.js";
import { interruption, type Terminal } from "../terminal.js";
import { type Announcement, announcementForMachines, renderAnnouncement } from "./announcement.js";
import { up } from "./up.js";

interface UpFlags extends ConfigFlags {
  processes?: boolean;
  grmWorkers?: string;
  http?: string | true;
  data: string;
  json?: boolean;
}

const usualHttp = "127.0.0.1:8080";

const help = `
Stays until SIGTERM or Ctrl-C, then refuses new work, finishes what was accepted and stops everything in reverse
order; a second signal ends it at once. --json prints one line when everything listens.

Example:
  covote up --processes --grm-workers 3
  covote up --http
  covote up --set grpc.address=127.0.0.1:0 --json
`;

export function upCommand(terminal: Terminal): Command {
  return withConfig(new Command("up"))
    .description(
      "Start nats-server (unless nats.url is set) and every service here, and stay up until told to stop",
    )
    .option("--processes", "every service a process of its own")
    .option("--grm-workers <count>", "GRM workers (grm.workers)")
    .option("--http [address]", `serve rewards as JSON over HTTP, too (http.address; ${usualHttp})`)
    .option("--data <folder>", "NATS data and logs", "runs/up")
    .option("--json", "print the addresses as one line of JSON")
    .addHelpText("after", help)
    .action(async (flags: UpFlags) => {
      const config = compileFlags(
        flags,
        { "grm.workers": flags.grmWorkers, "http.address": flags.http === true ? usualHttp : flags.http },
        terminal.env,
      );
      const dir = resolve(flags.data);
      const interrupted = interruption(terminal);
      try {
        await up({
          config,
          dir,
          processes: flags.processes === true,
          env: terminal.env,
          signal: interrupted.signal,
          ready: (cluster) => {
            const clusterName = config.cluster.name;
            const said: Announcement = { cluster, clusterName, dir, cwd: process.cwd(), pid: process.pid };
            terminal.stdout.write(
              flags.json === true
                ? `${JSON.stringify(announcementForMachines(said))}\n`
                : `${renderAnnouncement(said, styleFor(terminal.stdout, terminal.env)).join("\n")}\n`,
            );
          },
          stopping: () => {
            if (flags.json !== true) terminal.stdout.write("  stopping: finishing what was accepted\n");
          },
        });
        if (flags.json !== true) terminal.stdout.write("  stopped\n");
      } finally {
        interrupted.release();
      }
    });
}
