import { z } from 'zod';
import type { Operation } from './operation.ts';
import { OPERATIONS } from './operations.ts';
import { PROBLEM_CODES } from './problem.ts';

const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(PROBLEM_CODES as [string, ...string[]]),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

/** Problems that every call behind a key may answer with. */
const COMMON_PROBLEMS = [401, 403, 429, 503];

/** The API as an OpenAPI 3.1 document, made from the schemas that requests are judged with. */
export function createOpenApi(version: string): Record<string, unknown> {
  const components: Record<string, unknown> = {};
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output') => collect(schema, io, components);
  const problem = schemaOf(problemSchema, 'output');
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of OPERATIONS) {
    paths[operation.path] ??= {};
    Object.assign(paths[operation.path] as object, {
      [operation.method]: describe(operation, schemaOf, problem),
    });
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Longshore', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    servers: [{ url: '/' }],
    security: [{ apiKey: [] }],
    paths,
    components: {
      schemas: components,
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', bearerFormat: 'lsk_<id>_<secret>' } },
    },
  };
}

type SchemaOf = (schema: z.ZodType, io: 'input' | 'output') => unknown;

function describe(operation: Operation, schemaOf: SchemaOf, problem: unknown): Record<string, unknown> {
  const { body, scope } = operation;
  const failures = [...operation.problems, ...(scope === null ? [] : COMMON_PROBLEMS)];
  return {
    operationId: operation.id,
    summary: operation.summary,
    ...(scope === null ? { security: [] } : { description: `Needs the scope \`${scope}\`.` }),
    parameters: parametersOf(operation, schemaOf),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { [body.mediaType]: { schema: schemaOf(body.schema, 'input') } },
          },
        }),
    responses: {
      ...Object.fromEntries(
        Object.entries(operation.answers).map(
          ([status, { description, schema, mediaTypes = ['application/json'] }]) => [
            status,
            schema === null
              ? { description }
              : {
                  description,
                  content: Object.fromEntries(
                    mediaTypes.map((type) => [type, { schema: schemaOf(schema, 'output') }]),
                  ),
                },
          ],
        ),
      ),
      ...Object.fromEntries(
        failures.map((status) => [
          status,
          { description: 'A problem', content: { 'application/problem+json': { schema: problem } } },
        ]),
      ),
    },
  };
}

function parametersOf(operation: Operation, schemaOf: SchemaOf): unknown[] {
  const inPath = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = Object.entries(operation.query?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    schema: schemaOf(schema as z.ZodType, 'input'),
  }));
  const inHeader = Object.entries(operation.headers ?? {}).map(([name, description]) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  }));
  return [...inPath, ...inQuery, ...inHeader];
}

/** A schema as JSON Schema; those with an id move to the components and are referred to. */
function collect(schema: z.ZodType, io: 'input' | 'output', components: Record<string, unknown>): unknown {
  const { $defs, $schema: _, ...own } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  const suffix = (text: string) => text.replaceAll('#/$defs/', '#/components/schemas/');
  for (const [id, definition] of Object.entries($defs ?? {})) {
    components[id] ??= withoutIds(JSON.parse(suffix(JSON.stringify(definition))));
  }
  const rewritten = JSON.parse(suffix(JSON.stringify(own))) as Record<string, unknown>;
  const id = rewritten.id;
  if (typeof id !== 'string') return rewritten;
  components[id] ??= withoutIds(rewritten);
  return { $ref: `#/components/schemas/${id}` };
}

function withoutIds(schema: Record<string, unknown>): Record<string, unknown> {
  const { id: _, $id: __, ...rest } = schema;
  return rest;
}
