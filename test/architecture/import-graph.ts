/**
 * The import graph of the TypeScript sources: which file imports which, whatever the form (static, type-only,
 * re-export, dynamic, or the URL of a worker).
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative, sep } from "node:path";

/** Paths are relative to the package, with forward slashes. */
export interface SourceFile {
  path: string;
  text: string;
  /** Files of the package that it imports. */
  imports: string[];
}

export function readSources(root: string, folders: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => {
        const full = join(entry.parentPath, entry.name);
        return toSource(relative(root, full).split(sep).join("/"), readFileSync(full, "utf8"));
      }),
  );
}

export function toSource(path: string, text: string): SourceFile {
  const code = withoutComments(text);
  const imports = specifiersOf(code)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => posix.join(posix.dirname(path), specifier).replace(/\.js$/, ".ts"));
  return { path, text: code, imports: [...new Set(imports)] };
}

/** Every module specifier of the code. */
export function specifiersOf(code: string): string[] {
  const forms = [
    /\b(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']/g,
    /\bimport\s*["']([^"']+)["']/g,
    /\bimport\s*\(\s*["']([^"']+)["']/g,
    /\bnew\s+URL\s*\(\s*["']([^"']+\.[jt]s)["']\s*,\s*import\.meta\.url/g,
  ];
  return forms.flatMap((form) => [...code.matchAll(form)].map((match) => match[1] as string));
}

/** The code with comments blanked, so that an import in an example does not count; texts stay as they are. */
export function withoutComments(text: string): string {
  const tokens = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(tokens, (token) => (token.startsWith("/") ? " " : token));
}
