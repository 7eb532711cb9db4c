/**
 * Who owns which page of keys and values. Pages are counted by reference; a page full of tokens gets a name
 * (the page before it and its tokens), so that sequences with a common beginning share it.
 *
 * - A page with references is never given away.
 * - A named page without references stays findable until its room is needed; the longest unused goes first.
 *   Release a sequence's pages from the last to the first: then a page never outlives the one before it.
 */
export interface PageStore {
  /** Pages that `take` could give now: never used ones and unreferenced named ones. */
  readonly available: number;
  /** A page with one reference, or undefined when all are referenced. */
  take(): number | undefined;
  retain(page: number): void;
  release(page: number): void;
  /** The page with these tokens (`tokens[at … at + positions)`) after page `parent` (undefined: at the start). */
  find(parent: number | undefined, tokens: ArrayLike<number>, at: number): number | undefined;
  /** Gives a referenced page its name; without effect when another page has it. */
  name(page: number, parent: number | undefined, tokens: ArrayLike<number>, at: number): void;
  /** Forgets every name: what pages hold is no longer what their tokens mean. */
  forget(): void;
}

export function createPageStore(pages: number, positions: number): PageStore {
  const references = new Int32Array(pages);
  const names: (string | undefined)[] = new Array(pages).fill(undefined);
  // A page's number is used again; its serial never is, so an old name cannot mean a new page.
  const serials = Array.from({ length: pages }, (_, page) => page);
  let nextSerial = pages;
  const byName = new Map<string, number>();
  const idle = new Set<number>(); // in the order of their last release
  const free = Array.from({ length: pages }, (_, i) => pages - 1 - i);

  const nameOf = (parent: number | undefined, tokens: ArrayLike<number>, at: number): string => {
    let name = parent === undefined ? "" : `${serials[parent]}`;
    for (let i = at; i < at + positions; i++) name += `,${tokens[i]}`;
    return name;
  };
  const unname = (page: number): void => {
    const name = names[page];
    if (name !== undefined) byName.delete(name);
    names[page] = undefined;
  };

  return {
    get available() {
      return free.length + idle.size;
    },
    take() {
      let page = free.pop();
      if (page === undefined) {
        page = idle.values().next().value;
        if (page === undefined) return undefined;
        idle.delete(page);
        unname(page);
      }
      serials[page] = nextSerial++;
      references[page] = 1;
      return page;
    },
    retain(page) {
      if (references[page] === 0) idle.delete(page);
      references[page] = (references[page] as number) + 1;
    },
    release(page) {
      const left = (references[page] as number) - 1;
      references[page] = left;
      if (left > 0) return;
      if (names[page] === undefined) free.push(page);
      else idle.add(page);
    },
    find: (parent, tokens, at) => byName.get(nameOf(parent, tokens, at)),
    name(page, parent, tokens, at) {
      const name = nameOf(parent, tokens, at);
      if (byName.has(name)) return;
      byName.set(name, page);
      names[page] = name;
    },
    forget() {
      byName.clear();
      names.fill(undefined);
      for (const page of idle) free.push(page);
      idle.clear();
    },
  };
}
