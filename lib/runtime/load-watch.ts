/** A load book that is kept up to date by what the cluster's services report. */
import type { Bus } from "../bus/bus.js";
import type { Clock } from "../core/clock.js";
import type { LoadReport } from "../wire/gen/covote/v1/scaling.js";
import { loadReportCodec } from "../wire/messages.js";
import { createLoadBook, type LoadBook, type Taken } from "./load-book.js";

/** What became of a report; `unreadable`: it was none. */
export type ReportFate = Taken | "unreadable";

export interface LoadWatch {
  readonly book: LoadBook;
  close(): void;
}

/** `came` is told about every report. */
export function watchLoads(bus: Bus, clock: Clock, came?: (fate: ReportFate) => void): LoadWatch {
  const book = createLoadBook();
  const reports = bus.subscribe(bus.subjects.loads(), {}, (data) => {
    let report: LoadReport;
    try {
      report = loadReportCodec.decode(data);
    } catch {
      // Not every publisher on this NATS has to be covote.
      came?.("unreadable");
      return;
    }
    const fate = book.take(report, clock.monotonic());
    came?.(fate);
  });
  return { book, close: () => reports.close() };
}
