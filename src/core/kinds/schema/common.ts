import type { Condition } from '../../conditions.ts';
import type { JobWebhook } from '../../job.ts';
import type { StatusBase } from '../meta.ts';
import {
  choice,
  int,
  list,
  map,
  object,
  optional,
  type Properties,
  type Schema,
  text,
  time,
} from './builder.ts';

export const MAX_LABELS = 32;

export const typeName = (description: string): Schema<string> =>
  text({ description, min: 1, max: 63, pattern: '^[a-z]([-a-z0-9]*[a-z0-9])?$' });

const labelValue = text({ max: 63, pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$' });

export const labels = (description: string): Schema<Record<string, string>> =>
  map(labelValue, {
    description,
    max: MAX_LABELS,
    rules: [
      {
        rule: "self.all(key, size(key) <= 316 && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
        message:
          'a label name has at most 63 letters, digits, "-", "_" and ".", after an optional prefix and "/"',
      },
    ],
  });

export const webhook = object<JobWebhook>(
  {
    url: text({
      description: 'An https URL of a public address.',
      max: 2_048,
      rules: [
        {
          rule: String.raw`self.matches(r'^https?://[\x21-\x7e]+$')`,
          message: 'must be an https URL of visible ASCII characters',
        },
      ],
    }),
  },
  { description: 'One signed POST at the end of the job.' },
);

export const resourceName = (description: string): Schema<string> =>
  text({ description, min: 1, max: 253, pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$' });

const condition = object<Condition>({
  type: text({ min: 1, max: 316 }),
  status: choice(['True', 'False', 'Unknown']),
  observedGeneration: optional(int({ min: 0, max: Number.MAX_SAFE_INTEGER })),
  lastTransitionTime: time('When the status last changed.'),
  reason: text({ min: 1, max: 128, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' }),
  message: text({ max: 1_024 }),
});

export const statusBase: Properties<StatusBase> = {
  observedGeneration: optional(
    int({ description: 'The generation that this status speaks of.', min: 0, max: Number.MAX_SAFE_INTEGER }),
  ),
  conditions: optional(list(condition, { max: 8, key: 'type' })),
};
