/** Starts a nats-server in the given folder, reports its pid, and waits to be killed. */
import { startNatsServer } from "../../lib/bus/nats-server.js";

const [dataDir = ""] = process.argv.slice(2);
const server = await startNatsServer({ dataDir, env: process.env });
process.send?.(server.pid);
process.on("message", () => {});
