/**
 * Reasoning models think aloud before they judge: `<think> … </think>`, with the opening mark often supplied by
 * the chat template. A box in there is a draft, not a score.
 */

/** The text after the reasoning; null when it ends inside the reasoning. */
export function withoutReasoning(text: string): string | null {
  const closed = text.lastIndexOf("</think>");
  if (closed >= 0) return text.slice(closed + "</think>".length);
  return text.trimStart().startsWith("<think>") ? null : text;
}
