/**
 * Makes sure that there are prometheus and promtool for the tests that ask them: on PATH, or Debian's package unpacked
 * into .tools/bin. Nothing of the system is changed and no service is started.
 *
 * Exit code 0: they are there; 3: they are not, and cannot be had here (no apt-get); 1: getting them failed.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const tools = join(dirname(fileURLToPath(import.meta.url)), "..", ".tools", "bin");
const programs = ["prometheus", "promtool"];
const minutes = 60_000;

/** @param {string} program */
function find(program) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), tools];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return folder !== "";
    } catch {
      return false;
    }
  });
}

/** @param {string} command @param {string[]} args @param {string} cwd */
function run(command, args, cwd) {
  const { status, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 5 * minutes });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${(error?.message ?? stderr).trim()}`);
}

function unpack() {
  const folder = mkdtempSync(join(tmpdir(), "covote-prometheus-"));
  try {
    run("apt-get", ["download", "prometheus"], folder);
    const [archive] = readdirSync(folder).filter((file) => file.endsWith(".deb"));
    if (archive === undefined) throw new Error("apt-get download prometheus: left no package");
    run("dpkg", ["-x", archive, "unpacked"], folder);
    mkdirSync(tools, { recursive: true });
    for (const program of programs) {
      copyFileSync(join(folder, "unpacked", "usr", "bin", program), join(tools, program));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (!programs.every(find)) {
  if (spawnSync("apt-get", ["--version"]).status !== 0) {
    console.error(
      "covote: prometheus and promtool are not on PATH, and there is no apt-get to get them with; " +
        "the tests that ask them are not run. Install Prometheus 2.42 or newer to run them.",
    );
    process.exitCode = 3;
  } else {
    try {
      console.error("covote: unpacking Debian's prometheus into .tools/bin");
      unpack();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      console.error(`covote: prometheus could not be had (${why}); apt-get update, or install it on PATH`);
      process.exitCode = 1;
    }
  }
}
