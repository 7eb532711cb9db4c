/**
 * What the code below the main files knows of logs: structured lines with a level.
 *
 * Field names are snake_case; the ones that tie lines of different processes together are `run_id`,
 * `group_id`, `judgment_id` and `trace_id`. A pino logger satisfies this interface.
 */
export interface Logger {
  debug: LogLine;
  info: LogLine;
  warn: LogLine;
  error: LogLine;
  /** The same log with these fields on every line. */
  child(fields: Record<string, unknown>): Logger;
}

export interface LogLine {
  (fields: Record<string, unknown>, message: string): void;
  (message: string): void;
}

/** For tests and for libraries whose caller brings no log. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
