import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { putMeters } from '../../src/ledger/meters.ts';
import { storeReadings } from '../../src/ledger/store-readings.ts';
import { PageWorld } from '../support/page-world.ts';
import { newReading, readingServices, seedMeters, untilJudged, windowTime } from '../support/readings.ts';

let world: PageWorld;

beforeAll(async () => {
  world = await PageWorld.create({ services: readingServices });
  await seedMeters(world.ledger.db, 3);
  const two = { customerId: 'C', tariff: 'home', digits: 5, rollsOver: true, maxPerDay: 900 };
  await putMeters(world.ledger.db, 'default', [{ ...two, id: 'TWO', zones: ['day', 'night'] }]);
});
afterAll(() => world?.close());
afterEach(async () => {
  expect(await world.leave()).toEqual([]);
});

/** Readings of three months, the last one 40 days before the window of now. */
async function history(): Promise<void> {
  const before = Date.parse(windowTime(20));
  const month = (n: number) => {
    const date = new Date(before);
    date.setUTCMonth(date.getUTCMonth() - n);
    return date.getTime();
  };
  for (const [n, value] of [
    [3, 100],
    [2, 250],
    [1, 460],
  ] as const) {
    const reading = newReading('M-1', value, { readAtMs: month(n) });
    await storeReadings(world.ledger.db, [{ reading, key: null, at: () => reading, traceparent: null }]);
    await untilJudged(world.ledger.db);
  }
}

it('shows a meter, its consumption as a chart, what a month costs, and takes a reading', async () => {
  await history();
  const page = await world.visit({ url: `${world.api.url}/meter.html` });
  await page.fill('#meter-id', 'M-1');
  await page.keyboard.press('Enter');
  await page.locator('.chart rect').nth(2).waitFor();
  expect(await page.locator('.chart').getAttribute('aria-label')).toMatch(/: 0, .*: 150, .*: 210$/);
  expect(await page.textContent('#bill')).toContain('210 units, 907.20 UAH.');
  expect(await page.textContent('#reading-last')).toContain('Last reading: 460');
  await page.fill('#reading-value', '455');
  await page.keyboard.press('Enter');
  await page.locator('.verdict-refused').waitFor();
  const today = new Date().getUTCDate();
  const words =
    today < 15 || today > 26
      ? 'Readings are taken from'
      : 'The value is lower than the last one (it was 460)';
  expect(await page.textContent('#reading-state')).toContain(words);
  expect(await page.locator('#readings .why').first().innerText()).toContain(words.split(' (')[0] ?? '');
});

it('asks for the zone where there are several', async () => {
  const page = await world.visit({ url: `${world.api.url}/meter.html` });
  await page.fill('#meter-id', 'TWO');
  await page.click('#meter-submit');
  await page.getByRole('radio', { name: 'night' }).check({ force: true });
  await page.fill('#reading-value', '17');
  const sent = page.waitForRequest((request) => request.method() === 'POST');
  await page.click('#reading-submit');
  expect((await sent).postDataJSON()).toMatchObject({
    meterId: 'TWO',
    zone: 'night',
    value: 17,
    source: 'page',
  });
  await page.locator('.verdict-accepted, .verdict-refused').waitFor();
});

it('says in plain words what is wrong before and after asking', async () => {
  const page = await world.visit({ url: `${world.api.url}/meter.html` });
  await page.fill('#meter-id', '<img src=x onerror="globalThis.__xss=1">');
  await page.click('#meter-submit');
  expect(await page.locator('#meter-state .problem').innerText()).toContain('There is no such meter');
  await page.fill('#meter-id', 'M-2');
  await page.click('#meter-submit');
  await page.locator('#reading-form').waitFor();
  await page.fill('#reading-value', '12a');
  await page.click('#reading-submit');
  expect(await page.textContent('#reading-state')).toContain('Enter the digits');
  expect(await page.getAttribute('#reading-value', 'aria-invalid')).toBe('true');
});

it('fits a phone', async () => {
  const page = await world.visit({
    url: `${world.api.url}/meter.html`,
    viewport: { width: 360, height: 740 },
  });
  await page.fill('#meter-id', 'M-1');
  await page.click('#meter-submit');
  await page.locator('#history').waitFor();
  expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
});
