// The Python environment of `make test-python`: .venv in the checkout, made once and again when the requirements change.
// Exit code 3 when this machine has no Python that it could be made with.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const venv = join(root, ".venv");
const requirements = join(root, "test", "python", "requirements.txt");
const stamp = join(venv, ".covote-installed");
const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex");

if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) process.exit(0);

const names = ["python3.13", "python3.12", "python3.11", "python3.10", "python3"];
const check = "import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 10) else 1)";
const python = names.find((name) => spawnSync(name, ["-c", check], { stdio: "ignore" }).status === 0);
if (python === undefined) {
  console.error(
    "make test-python needs Python 3.10 or newer with venv (Debian: apt-get install python3-venv); none found",
  );
  process.exit(3);
}

console.error(`making .venv with ${python}: PyTorch and what it brings are 5 GB, which takes some minutes`);
rmSync(venv, { recursive: true, force: true });
const run = (command, args) => {
  const { status } = spawnSync(command, args, { stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  console.error(`make test-python: ${command} ${args.join(" ")} failed`);
  process.exit(1);
};
run(python, ["-m", "venv", venv]);
run(join(venv, "bin", "pip"), ["install", "--quiet", "--disable-pip-version-check", "-r", requirements]);
writeFileSync(stamp, wanted);
