import { JOB_SCHEDULE } from '../job-schedule.ts';
import type { ResourceType } from '../meta.ts';
import { QUEUE_JOB } from '../queue-job.ts';
import { WORKER_POOL } from '../worker-pool.ts';
import type { JsonSchema, Schema } from './builder.ts';
import { jobScheduleSchema } from './job-schedule.ts';
import { queueJobSchema } from './queue-job.ts';
import { workerPoolSchema } from './worker-pool.ts';

interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'boolean' | 'date';
  jsonPath: string;
  description?: string;
  /** Above 0: shown with `-o wide` only. */
  priority?: number;
}

interface Definition {
  resource: ResourceType;
  shortName: string;
  schema: { description: string; spec: Schema<object>; status: Schema<object> };
  columns: readonly PrinterColumn[];
  /** JSON paths that field selectors may name. */
  selectable: readonly string[];
}

const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

/** Paths of conditions: quotes in brackets are what kubectl's and the API server's JSONPath take. */
const readyStatus = '.status.conditions[?(@.type=="Ready")].status';
const readyReason = '.status.conditions[?(@.type=="Ready")].reason';

const DEFINITIONS: readonly Definition[] = [
  {
    resource: QUEUE_JOB,
    shortName: 'qj',
    schema: queueJobSchema,
    columns: [
      { name: 'Type', type: 'string', jsonPath: '.spec.type' },
      { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'Empty: not looked at yet' },
      { name: 'Attempts', type: 'integer', jsonPath: '.status.attempts' },
      AGE,
      { name: 'Duration', type: 'string', jsonPath: '.status.duration' },
      { name: 'Priority', type: 'integer', jsonPath: '.spec.priority', priority: 1 },
      { name: 'Job', type: 'string', jsonPath: '.status.jobId', priority: 1 },
      { name: 'Error', type: 'string', jsonPath: '.status.error.code', priority: 1 },
      { name: 'Message', type: 'string', jsonPath: '.status.message', priority: 1 },
    ],
    selectable: ['.spec.type', '.status.phase'],
  },
  {
    resource: WORKER_POOL,
    shortName: 'wp',
    schema: workerPoolSchema,
    columns: [
      { name: 'Types', type: 'string', jsonPath: '.status.types' },
      { name: 'Load', type: 'integer', jsonPath: '.status.load', description: 'Jobs that run or could' },
      { name: 'Replicas', type: 'integer', jsonPath: '.status.replicas' },
      { name: 'Ready', type: 'string', jsonPath: readyStatus },
      { name: 'Reason', type: 'string', jsonPath: readyReason },
      AGE,
      { name: 'Max', type: 'integer', jsonPath: '.spec.maxReplicas', priority: 1 },
      { name: 'Paused', type: 'boolean', jsonPath: '.spec.paused', priority: 1 },
      { name: 'Image', type: 'string', jsonPath: '.spec.image', priority: 1 },
    ],
    selectable: [],
  },
  {
    resource: JOB_SCHEDULE,
    shortName: 'js',
    schema: jobScheduleSchema,
    columns: [
      { name: 'Schedule', type: 'string', jsonPath: '.status.schedule' },
      { name: 'Last', type: 'date', jsonPath: '.status.lastFireTime' },
      // Not of type date: kubectl would print a time to come as "<invalid>".
      { name: 'Next', type: 'string', jsonPath: '.status.nextFireTime' },
      { name: 'Suspended', type: 'boolean', jsonPath: '.spec.suspend' },
      AGE,
      { name: 'Type', type: 'string', jsonPath: '.spec.jobTemplate.type', priority: 1 },
      { name: 'Active', type: 'integer', jsonPath: '.status.active', priority: 1 },
      { name: 'Reason', type: 'string', jsonPath: readyReason, priority: 1 },
    ],
    selectable: ['.spec.jobTemplate.type'],
  },
];

export interface CustomResourceDefinition {
  apiVersion: 'apiextensions.k8s.io/v1';
  kind: 'CustomResourceDefinition';
  metadata: { name: string };
  spec: object;
}

/** The CustomResourceDefinitions of all kinds, as the API server takes them. */
export function customResourceDefinitions(): CustomResourceDefinition[] {
  return DEFINITIONS.map(toCrd);
}

function toCrd({ resource, shortName, schema, columns, selectable }: Definition): CustomResourceDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${resource.plural}.${resource.group}` },
    spec: {
      group: resource.group,
      scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular: resource.kind.toLowerCase(),
        shortNames: [shortName],
        categories: ['longshore'],
      },
      versions: [
        {
          name: resource.version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          ...(selectable.length > 0
            ? { selectableFields: selectable.map((jsonPath) => ({ jsonPath })) }
            : {}),
          schema: { openAPIV3Schema: rootSchema(schema) },
        },
      ],
    },
  };
}

function rootSchema({ description, spec, status }: Definition['schema']): JsonSchema {
  return {
    description,
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: spec.json,
      status: status.json,
    },
  };
}
