/** Makes sure that there is a nats-server: $NATS_SERVER, PATH, or the first way of installing one that works. */
import { installNatsServer } from "../dist/lib/bus/install-nats-server.js";

try {
  await installNatsServer({ env: process.env });
} catch (error) {
  console.error(`covote: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 2;
}
