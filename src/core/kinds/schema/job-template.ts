import { type Backoff, MAX_PRIORITY, MIN_PRIORITY } from '../../job.ts';
import type { JobTemplate } from '../job-schedule.ts';
import { int, object, optional, type Properties, untyped } from './builder.ts';
import { labels, typeName, webhook } from './common.ts';

const YEAR_SECONDS = 365 * 24 * 3_600;
const DAY_MS = 24 * 3_600_000;

const backoff = object<Backoff>(
  {
    baseMs: int({ description: 'Before the second attempt.', min: 1, max: DAY_MS }),
    maxMs: int({ description: 'At most.', min: 1, max: DAY_MS }),
  },
  {
    description: 'The wait between attempts doubles from baseMs up to maxMs; half of it is random.',
    rules: [{ rule: 'self.baseMs <= self.maxMs', message: 'baseMs must not exceed maxMs' }],
  },
);

/** What a QueueJob and the template of a JobSchedule both say. */
export const jobTemplateProperties: Properties<JobTemplate> = {
  type: typeName('The kind of work, such as image-convert; `GET /v1/job-types` lists them.'),
  input: optional(
    untyped({
      description: 'What the schema of the type asks for, at most 8 KiB of JSON.',
      maxProperties: 1_024,
    }),
  ),
  priority: optional(
    int({ description: 'Higher runs first; 0 when absent.', min: MIN_PRIORITY, max: MAX_PRIORITY }),
  ),
  retries: optional(int({ description: 'Further attempts after one that failed.', min: 0, max: 100 })),
  backoff: optional(backoff),
  timeoutSeconds: optional(int({ description: 'How long one attempt may run.', min: 1, max: 86_400 })),
  ttlSecondsAfterFinished: optional(
    int({ description: 'How long the QueueJob stays after its end.', min: 0, max: YEAR_SECONDS }),
  ),
  webhook: optional(webhook),
  labels: optional(labels('Labels of the job, by which REST finds it.')),
};
