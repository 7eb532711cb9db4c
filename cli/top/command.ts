/**
 * `covote top`: loads, queues, pools and the last scaling decisions of a running cluster, over its gRPC door. On a
 * terminal it is drawn anew until Ctrl-C; elsewhere, and with --json or --once, it is printed once.
 */
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import { createGrpcClient, type GrpcClient } from "../../lib/host/grpc-client.js";
import { parseListenAddress } from "../../lib/host/listen.js";
import { ClusterServiceService, type GetScalingResponse } from "../../lib/wire/gen/covote/v1/cluster.js";
import { numberFlag } from "../options.js";
import { styleFor } from "../run/display.js";
import { columnsOf, interruption, type Terminal } from "../terminal.js";
import { type TlsFlags, tlsOfFlags, withTls } from "../tls-options.js";
import { renderTop, topForMachines } from "./render.js";

interface TopFlags extends TlsFlags {
  address: string;
  decisions: string;
  once?: boolean;
  json?: boolean;
}

const help = `
Loads are of the last minute; taken is the share of the engines' slots. The first answer comes with the first load reports, two seconds after the question.

Example:
  covote top
  covote top --address 10.0.0.7:50051 --json
`;

/** A cluster that does not answer for so long is not there, in milliseconds. */
const timeoutMs = 10_000;
const refreshMs = 2000;
/** Figures are growth between two reports; a print that comes once waits so long for them, in milliseconds. */
const figuresMs = 6000;
const retryMs = 500;

const toTop = "\u001b[H";
const clear = "\u001b[2J\u001b[H";
const eraseLine = "\u001b[K";
const eraseBelow = "\u001b[J";

export function topCommand(terminal: Terminal): Command {
  return withTls(new Command("top"))
    .description("Loads, queues, pools and the last scaling decisions of a running cluster")
    .option("--address <host:port>", "gRPC address of any of its services", "127.0.0.1:50051")
    .option("--decisions <count>", "last decisions to show", "10")
    .option("--once", "print once, also on a terminal")
    .option("--json", "print one JSON object")
    .addHelpText("after", help)
    .action(async (flags: TopFlags) => {
      parseListenAddress("--address", flags.address);
      const decisions =
        numberFlag("--decisions", flags.decisions, { least: 1, most: 200, whole: true }) ?? 10;
      const clock = systemClock();
      const credentials = await tlsOfFlags(flags);
      const client = createGrpcClient({
        address: flags.address,
        what: "--address",
        clock,
        ...(credentials && { credentials }),
      });
      try {
        const live = terminal.stdout.isTTY === true && flags.json !== true && flags.once !== true;
        if (live) await draw(client, decisions, terminal);
        else await print(client, decisions, terminal, flags.json === true);
      } finally {
        client.close();
      }
    });
}

function ask(client: GrpcClient, decisions: number): Promise<GetScalingResponse> {
  return client.unary(ClusterServiceService.getScaling, { decisions }, { timeoutMs });
}

async function print(
  client: GrpcClient,
  decisions: number,
  terminal: Terminal,
  json: boolean,
): Promise<void> {
  const clock = systemClock();
  const untilMs = clock.monotonic() + figuresMs;
  let answer = await ask(client, decisions);
  const hasFigures = (): boolean =>
    answer.loads.every(({ slots, utilisation }) => slots === 0 || utilisation !== undefined);
  while (answer.loads.length > 0 && !hasFigures() && clock.monotonic() < untilMs) {
    await clock.sleep(retryMs);
    answer = await ask(client, decisions);
  }
  const style = styleFor(terminal.stdout, terminal.env);
  terminal.stdout.write(
    json
      ? `${JSON.stringify(topForMachines(answer))}\n`
      : `${renderTop(answer, clock.now(), columnsOf(terminal), style).join("\n")}\n`,
  );
}

async function draw(client: GrpcClient, decisions: number, terminal: Terminal): Promise<void> {
  const clock = systemClock();
  const style = styleFor(terminal.stdout, terminal.env);
  const interrupted = interruption(terminal);
  const { signal } = interrupted;
  try {
    for (let first = true; !signal.aborted; first = false) {
      const answer = await ask(client, decisions);
      // What does not fit below the first line is left out: a terminal that scrolls would show two halves.
      const rows = terminal.stdout.rows || 24;
      const lines = renderTop(answer, clock.now(), columnsOf(terminal), style).slice(0, rows - 1);
      terminal.stdout.write(
        `${first ? clear : toTop}${lines.map((line) => `${line}${eraseLine}`).join("\n")}\n${eraseBelow}`,
      );
      await clock.sleep(refreshMs, { signal });
    }
  } catch (thrown) {
    if (!signal.aborted) throw CovoteError.from(thrown);
  } finally {
    interrupted.release();
  }
}
