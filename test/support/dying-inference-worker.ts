/** An inference thread that says it is ready and dies at the first message. */
import { parentPort } from "node:worker_threads";

parentPort?.on("message", () => process.exit(3));
parentPort?.postMessage({ t: "ready" });
