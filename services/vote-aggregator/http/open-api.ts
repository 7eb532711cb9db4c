/** The OpenAPI 3.1 document of the HTTP routes, made from the schemas that requests are checked with. */
import { z } from "zod";
import { errorCodes } from "../../../lib/core/errors.js";
import { packageVersion } from "../../../lib/core/package-root.js";
import { maxBatch, rewardAnswerJson, rewardRequestJson } from "./reward-json.js";

const errorJson = z.object({
  error: z.object({
    code: z.enum(Object.keys(errorCodes) as [string, ...string[]]),
    message: z.string(),
    field: z.string().optional(),
    retryAfterMs: z.number().optional(),
  }),
});

export function openApi(): object {
  const of = (schema: z.ZodType, io: "input" | "output"): object => {
    const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
    return rest;
  };
  const ref = (name: string): object => ({ $ref: `#/components/schemas/${name}` });
  const json = (schema: object, description: string): object => ({
    description,
    content: { "application/json": { schema } },
  });
  const failures = {
    400: json(ref("Failure"), "The request is wrong; `field` says where."),
    409: json(ref("Failure"), "The request_id was used for another question."),
    413: json(ref("Failure"), "The body is too large."),
    429: json(ref("Failure"), "Too much is in flight; `Retry-After` says when to come back."),
    503: json(ref("Failure"), "The cluster cannot take work now; `Retry-After` says when to come back."),
  };
  return {
    openapi: "3.1.0",
    info: { title: "covote rewards", version: packageVersion() },
    paths: {
      "/v1/rewards": {
        post: {
          operationId: "score",
          summary: "One reward per response, or null with a reason.",
          requestBody: { required: true, ...json(ref("RewardRequest"), "A group to reward.") },
          responses: { 200: json(ref("RewardAnswer"), "The rewards."), ...failures },
        },
      },
      "/v1/rewards:batch": {
        post: {
          operationId: "scoreBatch",
          summary: "Several groups; each fails alone.",
          requestBody: {
            required: true,
            ...json(
              {
                type: "object",
                required: ["items"],
                additionalProperties: false,
                properties: { items: { type: "array", maxItems: maxBatch, items: ref("RewardRequest") } },
              },
              "Groups to reward.",
            ),
          },
          responses: {
            200: json(
              {
                type: "object",
                required: ["items"],
                properties: {
                  items: { type: "array", items: { anyOf: [ref("RewardAnswer"), ref("Failure")] } },
                },
              },
              "In the order of the request: rewards, or why there are none.",
            ),
            ...failures,
          },
        },
      },
      "/v1/judgments/{judgment_id}": {
        get: {
          operationId: "getJudgment",
          summary: "Everything behind a reward, as covote.v1.Judgment in JSON.",
          parameters: [{ name: "judgment_id", in: "path", required: true, schema: { type: "string" } }],
          responses: {
            200: json({ type: "object" }, "The record."),
            404: json(ref("Failure"), "There is none, or not any more."),
          },
        },
      },
    },
    components: {
      schemas: {
        RewardRequest: of(rewardRequestJson, "input"),
        RewardAnswer: of(rewardAnswerJson, "output"),
        Failure: of(errorJson, "output"),
      },
    },
  };
}
