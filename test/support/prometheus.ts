/**
 * A real Prometheus that scrapes what a test runs, and promtool. `make test-observability` sees to it that there are
 * some; without them the tests fail, they are not skipped.
 */
import { execFile, spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { packagePath } from "../../lib/core/package-root.js";

export interface Series {
  metric: Record<string, string>;
  value: [atS: number, value: string];
}

export interface Prometheus extends AsyncDisposable {
  /** Rejects with what Prometheus says against the query. */
  query(promql: string): Promise<Series[]>;
  /** Names of all series. */
  names(): Promise<string[]>;
  /** Resolves when every target was scraped once more, from now. */
  scraped(): Promise<void>;
}

export interface PrometheusTarget {
  /** `host:port` of a process's /metrics. */
  address: string;
  labels: Record<string, string>;
}

const deadlineMs = 60_000;
const pollMs = 100;

export function findTool(program: "prometheus" | "promtool"): string {
  const folders = [...(process.env.PATH ?? "").split(delimiter), packagePath(".tools", "bin")];
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  throw new Error(`${program} was not found on PATH nor in .tools/bin; make test-observability gets it`);
}

/** What promtool says, and its exit code. */
export function promtool(args: readonly string[], input = ""): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(findTool("promtool"), args, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ code, output: `${stdout}${stderr}` });
    });
    child.stdin?.end(input);
  });
}

/** Scrapes every second. */
export async function startPrometheus(targets: readonly PrometheusTarget[]): Promise<Prometheus> {
  const program = findTool("prometheus");
  const folder = mkdtempSync(join(tmpdir(), "covote-prometheus-"));
  const port = await freePort();
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s" },
    scrape_configs: [
      {
        job_name: "covote",
        // The service of a series is a part of covote, not the address that answered.
        honor_labels: true,
        static_configs: targets.map(({ address, labels }) => ({ targets: [address], labels })),
      },
    ],
  };
  // JSON is YAML.
  writeFileSync(join(folder, "prometheus.yml"), JSON.stringify(config));
  const child = spawn(
    program,
    [
      `--config.file=${join(folder, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let said = "";
  child.stderr.on("data", (data: Buffer) => {
    said = `${said}${data.toString()}`.slice(-4000);
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const dispose = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };

  const get = async (path: string): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    const { status, error, data } = (await answer.json()) as {
      status: string;
      error?: string;
      data: unknown;
    };
    if (status !== "success") throw new Error(error ?? `prometheus: ${status}`);
    return data;
  };
  const until = async (what: string, look: () => Promise<boolean>): Promise<void> => {
    const endMs = performance.now() + deadlineMs;
    while (!(await look().catch(() => false))) {
      if (child.exitCode !== null) throw new Error(`prometheus ended before ${what}: ${said}`);
      if (performance.now() > endMs) throw new Error(`prometheus: ${what} did not happen: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  };
  const query: Prometheus["query"] = async (promql) => {
    const { result } = (await get(`/api/v1/query?query=${encodeURIComponent(promql)}`)) as {
      result: Series[];
    };
    return result;
  };
  const scraped = async (): Promise<void> => {
    const sinceMs = Date.now();
    await until("a scrape of every target", async () => {
      const { activeTargets } = (await get("/api/v1/targets?state=active")) as {
        activeTargets: { health: string; lastScrape: string }[];
      };
      return (
        activeTargets.length === targets.length &&
        activeTargets.every(
          ({ health, lastScrape }) => health === "up" && new Date(lastScrape).getTime() > sinceMs,
        )
      );
    });
  };
  try {
    await scraped();
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
  return {
    query,
    names: async () => (await get("/api/v1/label/__name__/values")) as string[],
    scraped,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Free a moment ago; Prometheus cannot be asked which one it took. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
