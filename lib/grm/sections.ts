/**
 * The labelled parts of a judgment in prose: criteria, analysis, scores.
 *
 * Models drift in their headings (bold, markdown headings, numbers, other words), so a heading is any short
 * line, or short beginning of a line before a colon, whose words are one of the known labels. Only the record
 * depends on this: scores are read from the box, never from a heading.
 */

export interface Sections {
  principles: string;
  critique: string;
}

type Label = "criteria" | "analysis" | "scores";

const labels: Record<Label, RegExp> = {
  criteria:
    /^(?:(?:the )?(?:specific|evaluation|additional|my|other|own|general)(?: and [a-z]+)? )?(?:criteria|criterion|principles?|rubrics?)(?: (?:and|with) (?:their )?weights?)?$/,
  analysis:
    /^(?:(?:the )?(?:detailed|step by step|comparative|response|overall) )?(?:analysis|analyses|critiques?|evaluation|assessment)(?: of (?:the )?responses?)?$/,
  scores:
    /^(?:(?:the )?(?:final|overall|total|resulting) )?(?:scores?|scoring|ratings?|judge?ment|verdict|results?)$/,
};

/** Splits `text`, whose scores begin at `scoresAt` (its length when there are none). Linear in the text. */
export function splitSections(text: string, scoresAt: number): Sections {
  const body = text.slice(0, scoresAt);
  const headings = findHeadings(body);
  const analysis = headings.find((heading) => heading.label === "analysis");
  const criteria = headings.find(
    (heading) => heading.label === "criteria" && (analysis === undefined || heading.start < analysis.start),
  );
  const after = Math.max(criteria?.start ?? -1, analysis?.start ?? -1);
  // The last `Scores` heading before the box; one that lists marks per criterion belongs to the scores too.
  const scores = headings.findLast((heading) => heading.label === "scores" && heading.start > after);
  const end = scores?.start ?? body.length;
  if (analysis === undefined) {
    if (criteria === undefined) return { principles: "", critique: body.slice(0, end).trim() };
    return { principles: body.slice(criteria.end, Math.max(criteria.end, end)).trim(), critique: "" };
  }
  return {
    principles: body.slice(criteria?.end ?? 0, analysis.start).trim(),
    critique: body.slice(analysis.end, Math.max(analysis.end, end)).trim(),
  };
}

interface Heading {
  label: Label;
  /** Of the line. */
  start: number;
  /** Where the part's own text begins. */
  end: number;
}

function findHeadings(body: string): Heading[] {
  const headings: Heading[] = [];
  let start = 0;
  while (start < body.length) {
    const newline = body.indexOf("\n", start);
    const end = newline < 0 ? body.length : newline;
    // No heading is longer than this; the cut keeps the work per line bounded.
    const line = body.slice(start, Math.min(end, start + 80));
    const colon = line.search(/[:：]/);
    const title = colon < 0 ? (end - start <= 80 ? line : "") : line.slice(0, colon);
    const label = labelOf(title);
    if (label !== null) {
      const marks = colon < 0 ? "" : (/^[*_\s]*/.exec(line.slice(colon + 1))?.[0] ?? "");
      headings.push({ label, start, end: colon < 0 ? end : start + colon + 1 + marks.length });
    }
    start = end + 1;
  }
  return headings;
}

function labelOf(title: string): Label | null {
  const words = title
    .toLowerCase()
    .replace(/[^a-z]+/g, " ")
    .trim();
  if (words === "") return null;
  return (Object.keys(labels) as Label[]).find((label) => labels[label].test(words)) ?? null;
}
