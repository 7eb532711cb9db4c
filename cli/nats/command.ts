/** `covote nats`: what an administrator of NATS needs for a cluster whose services have the least rights they can do with. */
import { Command } from "commander";
import { openBus } from "../../lib/bus/open-bus.js";
import { type NatsUser, natsPermissions, natsUsers } from "../../lib/bus/permissions.js";
import { provisionStores } from "../../lib/bus/provisioning.js";
import { systemClock } from "../../lib/core/clock.js";
import { invalid } from "../../lib/core/errors.js";
import { parseId } from "../../lib/core/ids.js";
import { createRandom } from "../../lib/core/random.js";
import { busSettings } from "../../lib/runtime/nats-settings.js";
import { runIdOf } from "../../lib/runtime/run-id.js";
import { type ConfigFlags, compileFlags, withConfig } from "../options.js";
import type { Terminal } from "../terminal.js";
import { makeKeys } from "./keys.js";

const help = `
Each service can be a NATS user of its own (nats.nkeySeedFile, nats.inboxPrefix) that may do what it needs and nothing
else; with nats.provision false it makes no streams. An administrator, or the nats-steward, makes those.

Example:
  covote nats keys --out keys --json
  covote nats permissions --user grm-worker
  covote nats provision --config covote.yaml
`;

export function natsCommand(terminal: Terminal): Command {
  const print = (text: string): void => void terminal.stdout.write(`${text}\n`);
  const keys = new Command("keys")
    .description("Make a key for each service: seeds, a Kubernetes Secret, values of the chart")
    .requiredOption("--out <folder>", "new folder for them; seeds are secrets")
    .option("--secret <name>", "name of the Kubernetes Secret", "covote-nats-seeds")
    .option("--json", "print one JSON object")
    .action((flags: { out: string; secret: string; json?: boolean }) => {
      const made = makeKeys(flags.out, flags.secret);
      if (flags.json === true) return print(JSON.stringify(made));
      print(
        [
          "",
          ...Object.entries(made.nkeys).map(([user, key]) => `  ${user.padEnd(16)}${key}`),
          "",
          `  kubectl apply -f ${flags.out}/secret.yaml`,
          `  helm install … -f ${flags.out}/values.yaml`,
          "",
        ].join("\n"),
      );
    });
  const permissions = new Command("permissions")
    .description("Print what each service may do, as nats-server's configuration says it")
    .option("--cluster <name>", "name of the cluster", "covote")
    .option("--user <service>", "only of this service")
    .action((flags: { cluster: string; user?: string }) => {
      const cluster = parseId("--cluster", flags.cluster);
      if (flags.user !== undefined && !natsUsers.includes(flags.user as NatsUser)) {
        throw invalid("--user", `must be one of ${natsUsers.join(", ")}, got ${JSON.stringify(flags.user)}`);
      }
      const users = flags.user === undefined ? natsUsers : [flags.user as NatsUser];
      const all = users.map((user) => [user, natsPermissions(cluster, user)] as const);
      print(JSON.stringify(Object.fromEntries(all), null, 2));
    });
  const provision = withConfig(new Command("provision"))
    .description("Make the streams, consumers and buckets of a cluster, once; run it again after a change")
    .action((flags: ConfigFlags) => provisionOnce(flags, terminal));
  return new Command("nats")
    .description("Keys, permissions and streams of a cluster in a NATS that is shared")
    .addHelpText("after", help)
    .addCommand(keys)
    .addCommand(permissions)
    .addCommand(provision);
}

async function provisionOnce(flags: ConfigFlags, terminal: Terminal): Promise<void> {
  const config = compileFlags(flags, { "nats.provision": true }, terminal.env);
  if (config.nats.url === null) throw invalid("nats.url", "is not set; give the NATS that the cluster uses");
  await using bus = await openBus({
    ...busSettings(config, config.nats.url),
    name: "covote-nats-provision",
    random: createRandom(config.run.seed),
    clock: systemClock(),
  });
  const learners = config.run.dir === null ? [] : [runIdOf(config)];
  await provisionStores(bus, learners);
  const queues = await bus.queueStatus();
  terminal.stdout.write(
    `cluster ${config.cluster.name}: ${queues.length} queues and their buckets are there${learners.map((id) => `, and the channel of ${id}`).join("")}\n`,
  );
}
