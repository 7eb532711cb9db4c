/** The responses that a postcards prompt shows, for judges that only have the prompt. */
const panels = new WeakMap<object, readonly string[]>();

/** What stands between `response i` and the full stop. */
export function panelOf({ messages }: { messages: readonly { content: string }[] }): readonly string[] {
  // Votes of one ballot bring the same messages; the engine's own work should not show.
  const known = panels.get(messages);
  if (known !== undefined) return known;
  const text = messages[0]?.content ?? "";
  const panel = [...text.matchAll(/ response \d+ (.*?) ?\.(?= response|$)/g)].map((match) => match[1] ?? "");
  panels.set(messages, panel);
  return panel;
}
