/** `covote status`: what a running cluster consists of, over its gRPC door. */
import { Command } from "commander";
import { systemClock } from "../lib/core/clock.js";
import { createGrpcClient } from "../lib/host/grpc-client.js";
import { parseListenAddress } from "../lib/host/listen.js";
import { ClusterServiceService, type GetStatusResponse } from "../lib/wire/gen/covote/v1/cluster.js";
import { styleFor } from "./run/display.js";
import { count, duration, padEnd, type TextStyle } from "./run/text.js";
import type { Terminal } from "./terminal.js";
import { type TlsFlags, tlsOfFlags, withTls } from "./tls-options.js";

const help = `
Example:
  covote status
  covote status --address 10.0.0.7:50051 --json
`;

/** A cluster that does not answer for so long is not there, in milliseconds. */
const timeoutMs = 10_000;

interface StatusFlags extends TlsFlags {
  address: string;
  json?: boolean;
}

export function statusCommand(terminal: Terminal): Command {
  return withTls(new Command("status"))
    .description("Services, queues and models of a running cluster")
    .option("--address <host:port>", "gRPC address of any of its services", "127.0.0.1:50051")
    .option("--json", "print one JSON object")
    .addHelpText("after", help)
    .action(async (flags: StatusFlags) => {
      parseListenAddress("--address", flags.address);
      const clock = systemClock();
      const credentials = await tlsOfFlags(flags);
      const client = createGrpcClient({
        address: flags.address,
        what: "--address",
        clock,
        ...(credentials && { credentials }),
      });
      try {
        const status = await client.unary(ClusterServiceService.getStatus, {}, { timeoutMs });
        const style = styleFor(terminal.stdout, terminal.env);
        terminal.stdout.write(
          flags.json === true
            ? `${JSON.stringify(statusForMachines(status))}\n`
            : `${renderStatus(status, clock.now(), style).join("\n")}\n`,
        );
      } finally {
        client.close();
      }
    });
}

export function renderStatus(status: GetStatusResponse, nowMs: number, style: TextStyle): string[] {
  const { cluster, services, queues, models } = status;
  const nameWidth = Math.max(7, ...services.map(({ name }) => name.length));
  const versions = models.map(({ role, version }) => `${role} ${version}`);
  const numbers = (cells: readonly (string | number)[]): string =>
    cells.map((cell) => String(cell).padStart(12)).join("");
  return [
    "",
    `  ${style.bold(`cluster ${cluster}`)}`,
    "",
    style.dim(`  ${padEnd("service", nameWidth)}  up for`),
    ...services.map(
      ({ name, startedAtMs }) => `  ${padEnd(name, nameWidth)}  ${duration((nowMs - startedAtMs) / 1000)}`,
    ),
    "",
    style.dim(`  ${padEnd("queue", 12)}${numbers(["waiting", "in flight", "redelivered", "dead"])}`),
    ...queues.map(
      ({ stream, pending, inFlight, redelivered, deadLetters }) =>
        `  ${padEnd(stream, 12)}${numbers([pending, inFlight, redelivered, deadLetters].map((n) => count(Number(n))))}`,
    ),
    "",
    `  ${style.dim("models published")}  ${versions.length === 0 ? "none: the checkpoints of the start serve" : versions.join(", ")}`,
    "",
  ];
}

function statusForMachines({ cluster, services, queues, models }: GetStatusResponse): object {
  return {
    cluster,
    services: services.map(({ name, id, version, startedAtMs }) => ({
      name,
      id,
      version,
      started_at_ms: startedAtMs,
    })),
    queues: queues.map(({ stream, pending, inFlight, redelivered, deadLetters }) => ({
      queue: stream,
      pending: Number(pending),
      in_flight: Number(inFlight),
      redelivered: Number(redelivered),
      dead_letters: Number(deadLetters),
    })),
    models: models.map(({ role, version, publishedAtMs }) => ({
      role,
      version,
      published_at_ms: publishedAtMs,
    })),
  };
}
