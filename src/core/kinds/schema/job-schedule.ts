import { CATCH_UP_POLICIES, MAX_CATCH_UP, OVERLAP_POLICIES } from '../../schedule.ts';
import type {
  CatchUpSpec,
  HistoryLimits,
  JobScheduleSpec,
  JobScheduleStatus,
  JobTemplate,
} from '../job-schedule.ts';
import { bool, choice, int, object, optional, text, time } from './builder.ts';
import { statusBase } from './common.ts';
import { jobTemplateProperties } from './job-template.ts';

const catchUp = object<CatchUpSpec>(
  {
    policy: choice(CATCH_UP_POLICIES),
    limit: optional(
      int({ description: 'With all: the newest so many; 10 when absent.', min: 1, max: MAX_CATCH_UP }),
    ),
  },
  {
    description: 'Fire times that passed while nothing ran; the last one is made up for when absent.',
    rules: [
      {
        rule: "!has(self.limit) || self.policy == 'all'",
        message: 'limit belongs to policy all',
        fieldPath: '.limit',
      },
    ],
  },
);

const spec = object<JobScheduleSpec>(
  {
    cron: optional(
      text({
        description: 'Five fields: minute, hour, day, month, weekday.',
        max: 200,
        rules: [
          {
            rule: String.raw`self.matches(r'^\S+( +\S+){4}$')`,
            message: 'must have five fields: minute, hour, day, month, weekday',
          },
        ],
      }),
    ),
    timeZone: optional(
      text({
        description: 'IANA time zone of cron, such as Europe/Berlin; UTC when absent.',
        min: 1,
        max: 64,
        pattern: '^[A-Za-z0-9][A-Za-z0-9_+/-]*$',
      }),
    ),
    every: optional(
      text({
        description: 'A period instead of cron: 10s, 5m, 2h, 1d; at most 31d.',
        max: 8,
        rules: [
          {
            // `parseEvery`, said again in CEL: 31 days in each unit.
            rule: "self.matches('^[1-9][0-9]{0,6}[smhd]$') && int(self.substring(0, size(self) - 1)) * (self.endsWith('s') ? 1 : self.endsWith('m') ? 60 : self.endsWith('h') ? 3600 : 86400) <= 2678400",
            message: 'must be like 10s, 5m, 2h or 1d, at most 31d',
          },
        ],
      }),
    ),
    overlap: optional(
      choice(OVERLAP_POLICIES, {
        description: 'While the job of an earlier fire is unfinished; allow when absent.',
      }),
    ),
    catchUp: optional(catchUp),
    historyLimits: optional(
      object<HistoryLimits>(
        {
          succeeded: optional(int({ min: 0, max: 100 })),
          failed: optional(int({ min: 0, max: 100 })),
        },
        { description: 'Finished QueueJobs of this schedule that stay to be seen.' },
      ),
    ),
    suspend: optional(bool('No fire while true; jobs under way go on.')),
    jobTemplate: object<JobTemplate>(jobTemplateProperties, { description: 'The job that each fire makes.' }),
  },
  {
    rules: [
      { rule: 'has(self.cron) != has(self.every)', message: 'either cron or every is needed, not both' },
      {
        rule: '!has(self.timeZone) || has(self.cron)',
        message: 'timeZone is for cron only',
        fieldPath: '.timeZone',
      },
    ],
  },
);

const status = object<JobScheduleStatus>({
  ...statusBase,
  schedule: optional(text({ description: 'The timing in one text.', max: 300 })),
  lastFireTime: optional(time('The last fire.')),
  nextFireTime: optional(time('The next fire; absent while suspended.')),
  lastJobId: optional(text({ max: 36 })),
  active: optional(int({ description: 'Unfinished jobs of this schedule.', min: 0, max: 2_147_483_647 })),
});

export const jobScheduleSchema = {
  description: 'Makes a job at each time of a cron expression, or evenly.',
  spec,
  status,
};
