/**
 * Ends a child that has a process group of its own together with this process, even when this one is killed: a
 * small shell waits for the end of a pipe that only this process holds open, and then sends the signal.
 */
import { type ChildProcess, spawn } from "node:child_process";

/** The watcher; kill it when the child has ended, before its pid is somebody else's. */
export function endWithThisProcess(pid: number, signal: "TERM" | "KILL" = "TERM"): ChildProcess {
  const watch = spawn("/bin/sh", ["-c", `cat >/dev/null; kill -${signal} ${pid} 2>/dev/null`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watch.once("error", () => {});
  watch.unref();
  // A pipe of a child is a socket that would keep the event loop alive.
  (watch.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  return watch;
}
