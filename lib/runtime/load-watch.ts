/** A load book that is kept up to date by what the cluster's services report. */
import type { Bus } from "../bus/bus.js";
import type { Clock } from "../core/clock.js";
import { loadReportCodec } from "../wire/messages.js";
import { createLoadBook, type LoadBook, type LoadBookOptions } from "./load-book.js";

export interface LoadWatch {
  readonly book: LoadBook;
  /** Reports that could not be read. */
  unreadable(): number;
  close(): void;
}

export function watchLoads(bus: Bus, clock: Clock, options: LoadBookOptions = {}): LoadWatch {
  const book = createLoadBook(options);
  let unreadable = 0;
  const reports = bus.subscribe(bus.subjects.loads(), {}, (data) => {
    try {
      book.take(loadReportCodec.decode(data), clock.monotonic());
    } catch {
      unreadable++;
    }
  });
  return { book, unreadable: () => unreadable, close: () => reports.close() };
}
