import { expect, test } from 'vitest';
import { FloodLimit } from './flood.ts';

test('a person has a burst and a rate, is told once, and holds up nobody else', () => {
  let now = 0;
  const flood = new FloodLimit(30, { now: () => now });
  const take = () => flood.take(1);
  expect(Array.from({ length: 10 }, take)).toEqual(Array.from({ length: 10 }, () => 'pass'));
  expect([take(), take(), take()]).toEqual([{ tell: 2 }, 'ignore', 'ignore']);
  expect(flood.take(2)).toBe('pass');
  now += 2_000;
  expect([take(), take()]).toEqual(['pass', { tell: 2 }]);
});

test('it does not remember more people than it can', () => {
  const flood = new FloodLimit(1, { now: () => 0 });
  expect([flood.take(0), flood.take(0)]).toEqual(['pass', { tell: 60 }]);
  for (let person = 1; person <= 10_000; person += 1) flood.take(person);
  expect(flood.take(0)).toBe('pass');
});
