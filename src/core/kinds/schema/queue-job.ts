import {
  type InputRef,
  QUEUE_JOB_PHASES,
  type QueueJobError,
  type QueueJobSpec,
  type QueueJobStatus,
  type ResultRef,
} from '../queue-job.ts';
import { bool, choice, int, object, opaqueObject, optional, type Rule, text, time } from './builder.ts';
import { statusBase } from './common.ts';
import { jobTemplateProperties } from './job-template.ts';

const IMMUTABLE = [
  'type',
  'input',
  'inputRef',
  'priority',
  'runAt',
  'retries',
  'backoff',
  'timeoutSeconds',
  'ttlSecondsAfterFinished',
  'idempotencyKey',
  'webhook',
  'labels',
] as const satisfies readonly (keyof QueueJobSpec)[];

/** CEL sees the whole of an untyped field only through `dyn`; see `opaqueObject`. */
function view(object: 'self' | 'oldSelf', field: string): string {
  return field === 'input' ? `dyn(${object}).input` : `${object}.${field}`;
}

/** Neither added, nor removed, nor changed. */
function immutable(field: (typeof IMMUTABLE)[number]): Rule {
  const [now, before] = [view('self', field), view('oldSelf', field)];
  return {
    rule:
      field === 'type'
        ? `${now} == ${before}`
        : `has(${now}) == has(${before}) && (!has(${now}) || ${now} == ${before})`,
    message: `${field} cannot be changed; only suspend and cancel can: make another QueueJob`,
    fieldPath: `.${field}`,
  };
}

const spec = object<QueueJobSpec>(
  {
    ...jobTemplateProperties,
    input: optional(
      opaqueObject({
        description: 'What the schema of the type asks for: an object of at most 8 KiB of JSON.',
        maxProperties: 1_024,
      }),
    ),
    inputRef: optional(
      object<InputRef>(
        {
          bytes: int({ min: 1, max: 1_073_741_824 }),
          sha256: text({ max: 64, pattern: '^[0-9a-f]{64}$' }),
        },
        {
          description:
            'Input that the ledger keeps because it is too large for an object. Only Longshore writes it.',
        },
      ),
    ),
    runAt: optional(time('Not before this time, at most a year ahead; a past time means now.')),
    suspend: optional(bool('Holds the job back until it is false again; a running attempt goes on.')),
    cancel: optional(
      bool('True cancels the job, for good.', [
        { rule: '!oldSelf || self', message: 'a cancelled job stays cancelled: make another QueueJob' },
      ]),
    ),
    idempotencyKey: optional(
      text({
        description:
          'Makes a QueueJob that is created again the same job: it shows the first result and runs nothing.',
        min: 1,
        max: 255,
        pattern: String.raw`^[\x21-\x7e]+$`,
      }),
    ),
  },
  {
    rules: [
      {
        rule: '!(has(dyn(self).input) && has(self.inputRef))',
        message: 'input and inputRef exclude each other',
      },
      {
        rule: '!has(oldSelf.cancel) || !oldSelf.cancel || has(self.cancel)',
        message: 'a cancelled job stays cancelled: make another QueueJob',
        fieldPath: '.cancel',
      },
      ...IMMUTABLE.map(immutable),
    ],
  },
);

const status = object<QueueJobStatus>({
  ...statusBase,
  jobId: optional(text({ description: 'Id in the ledger and in REST.', max: 36 })),
  phase: optional(choice(QUEUE_JOB_PHASES, { description: 'No phase means Pending.' })),
  attempts: optional(int({ description: 'Attempts that were started.', min: 0, max: 2_147_483_647 })),
  startTime: optional(time('Start of the first attempt.')),
  completionTime: optional(time('The end.')),
  duration: optional(text({ description: 'From the start to the end, such as 1m3s.', max: 32 })),
  error: optional(object<QueueJobError>({ code: text({ min: 1, max: 128 }), message: text({ max: 1_024 }) })),
  resultRef: optional(
    object<ResultRef>({
      path: text({ description: 'Path of the REST API.', min: 1, max: 512 }),
      mediaType: optional(text({ max: 255 })),
      bytes: optional(int({ min: 0, max: Number.MAX_SAFE_INTEGER })),
    }),
  ),
  message: optional(text({ description: 'One line for people.', max: 1_024 })),
});

export const queueJobSchema = {
  description: 'A job: one piece of work of a type, run by a pod of a WorkerPool.',
  spec,
  status,
};
