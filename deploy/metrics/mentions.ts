/** Which metrics a text speaks of: a query, a rule, a page; and what a query asks of their labels. Pure. */

/**
 * Names of covote's metrics, and of those that Node's processes have. NATS streams look alike: a text that names one
 * writes a placeholder, `covote_<cluster>_ballots`.
 */
export function mentionedMetrics(text: string): string[] {
  const names = text.match(/\b(?:covote|nodejs|process)_[a-z0-9_]*[a-z0-9]\b(?![<*{/-]*[<*])/g) ?? [];
  return [...new Set(names)].sort();
}

export interface Matcher {
  metric: string;
  label: string;
  /** The values that it takes or leaves out; of a regular expression, its alternatives. */
  values: string[];
}

/** The matchers of a query, in PromQL; those that hold a variable of Grafana's are left out. */
export function matchersOf(query: string): Matcher[] {
  return [...query.matchAll(/\b([a-z][a-z0-9_:]*)\{([^}]*)\}/g)].flatMap(([, metric, inside]) =>
    [...(inside as string).matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)]
      .filter(([, , value]) => !(value as string).includes("$"))
      .map(([, label, value]) => ({
        metric: metric as string,
        label: label as string,
        values: (value as string).split("|"),
      })),
  );
}
