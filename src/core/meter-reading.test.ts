import { expect, test } from 'vitest';
import { isUuid } from './ids.ts';
import { dayIn, dayOfReading, readingId, toNewReading } from './meter-reading.ts';

const reading = { namespace: 'default', meterId: 'M-1', zone: 'total', value: 1_234, day: '2026-11-20' };

test('the same reading has the same id, and whatever differs another one', () => {
  const id = readingId(reading);
  expect(isUuid(id)).toBe(true);
  expect(readingId({ ...reading })).toBe(id);
  const others = [
    readingId({ ...reading, namespace: 'other' }),
    readingId({ ...reading, meterId: 'M-2' }),
    readingId({ ...reading, zone: 'day' }),
    readingId({ ...reading, value: 1_235 }),
    readingId({ ...reading, day: '2026-11-21' }),
  ];
  expect(new Set([id, ...others]).size).toBe(6);
});

test('an id tells its day, and what is no id of a reading tells none', () => {
  expect(dayOfReading(readingId(reading))).toBe('2026-11-20');
  expect(dayOfReading('018f3a5c-0000-7000-8000-000000000000')).toBeNull();
  expect(dayOfReading(readingId(reading).replace(/^./, 'f'))).toBeNull();
  expect(dayOfReading('nonsense')).toBeNull();
});

test('the day is that of the place where the meters are', () => {
  const lateInUtc = Date.parse('2026-11-26T23:30:00Z');
  expect(dayIn('UTC', lateInUtc)).toBe('2026-11-26');
  expect(dayIn('Europe/Kyiv', lateInUtc)).toBe('2026-11-27');
  expect(toNewReading({ ...reading, readAtMs: lateInUtc, source: 'api' }, 'Europe/Kyiv').day).toBe(
    '2026-11-27',
  );
});
