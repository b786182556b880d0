import { z } from 'zod';
import { integer, text } from './variable.ts';

const MIB = 1_048_576;

/** What the API needs for meter readings. */
export const readings = z.object({
  timeZone: text({
    env: 'LONGSHORE_READINGS_TIME_ZONE',
    description:
      "Time zone of the meters: it decides a reading's day. The same in every process; a change makes new days, not new readings.",
    default: 'UTC',
    allowed: 'an IANA time zone, such as `Europe/Kyiv`',
  }).refine(isTimeZone, 'is no time zone'),
  spoolDir: text({
    env: 'LONGSHORE_SPOOL_DIR',
    description:
      'Folder, of this API process alone and on a persistent volume, that takes readings while PostgreSQL cannot be reached. Not set: they are answered 503.',
    allowed: 'a path',
  }),
  spoolLimitBytes: integer(
    {
      env: 'LONGSHORE_SPOOL_LIMIT_BYTES',
      description: 'How large the spool may become; a full one answers 503. A reading takes about 250 bytes.',
      default: `${256 * MIB}`,
      unit: 'bytes',
    },
    4_096,
    1_024 * 1_024 * MIB,
  ),
});

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
