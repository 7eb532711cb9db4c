/** `--out` of commands that leave a checkpoint: a new folder, which appears whole or not at all. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { CovoteError, invalid } from "../../lib/core/errors.js";

/** Its absolute path; throws `invalid_argument` where there is something already. */
export function newFolder(path: string): string {
  const folder = resolve(path);
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw invalid("--out", `${path} is there already and not empty; name a new folder`);
  }
  return folder;
}

/** `fill` writes the folder that it is given, which does not exist before. */
export async function copyWhole(to: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const part = join(dirname(to), `.${basename(to)}.part`);
  try {
    mkdirSync(dirname(to), { recursive: true });
    rmSync(part, { recursive: true, force: true });
    await fill(part);
    rmSync(to, { recursive: true, force: true });
    renameSync(part, to);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? CovoteError.from(cause).message;
    throw new CovoteError("invalid_argument", `--out: cannot write ${to} (${why})`, {
      field: "--out",
      cause,
    });
  }
}
