/** The `covote` command. */
import { runMain } from "../lib/host/main.js";
import { runProgram } from "./program.js";

await runMain(() => runProgram(process.argv.slice(2), process), {
  name: "covote",
  debug: process.env.COVOTE_DEBUG === "1",
});
