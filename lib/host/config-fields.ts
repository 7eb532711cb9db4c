/** The fields of a configuration schema as plain data: for the environment, for help texts and for documents. */
import { z } from "zod";

export interface ConfigField {
  /** Dotted: `judging.votes`. */
  path: string;
  type: string;
  nullable: boolean;
  description: string;
  default: unknown;
  minimum?: number;
  maximum?: number;
  choices?: readonly string[];
  /** May carry credentials: masked when printed. */
  secret: boolean;
}

interface JsonSchema {
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  anyOf?: JsonSchema[];
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  enum?: unknown[];
  secret?: boolean;
}

export function listFields(schema: z.ZodType): ConfigField[] {
  return walk(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema, "");
}

function walk(node: JsonSchema, path: string): ConfigField[] {
  if (node.properties !== undefined) {
    return Object.entries(node.properties).flatMap(([key, inner]) =>
      walk(inner, path === "" ? key : `${path}.${key}`),
    );
  }
  const variants = node.anyOf ?? [node];
  const types = variants.flatMap((variant) => variant.type ?? []);
  const main = variants.find((variant) => variant.type !== "null") ?? node;
  const minimum = main.minimum ?? main.exclusiveMinimum;
  const choices = main.enum?.filter((choice): choice is string => typeof choice === "string");
  return [
    {
      path,
      type: types.find((type) => type !== "null") ?? "any",
      nullable: types.includes("null"),
      description: node.description ?? main.description ?? "",
      default: node.default,
      secret: node.secret ?? main.secret ?? false,
      ...(minimum === undefined ? {} : { minimum }),
      // JSON schema spells "no bound" of whole numbers as the largest safe one.
      ...(main.maximum === undefined || main.maximum >= Number.MAX_SAFE_INTEGER
        ? {}
        : { maximum: main.maximum }),
      ...(choices === undefined ? {} : { choices }),
    },
  ];
}

/** The configuration for logs and run folders: passwords and tokens in the secret fields' URLs are masked. */
export function printable(config: unknown, fields: readonly ConfigField[]): unknown {
  const copy = structuredClone(config);
  for (const field of fields.filter((candidate) => candidate.secret)) {
    const parts = field.path.split(".");
    const parent = parts
      .slice(0, -1)
      .reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], copy);
    const key = parts.at(-1) as string;
    const holder = parent as Record<string, unknown> | undefined;
    if (typeof holder?.[key] === "string") holder[key] = holder[key].replace(/\/\/[^/@]*@/g, "//***@");
  }
  return copy;
}
