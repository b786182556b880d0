import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KNOWN } from '../support/fake-contracts.ts';
import { PageWorld } from '../support/page-world.ts';

const PHOTOGRAPH = fileURLToPath(new URL('../../examples/images/chelsea.png', import.meta.url));

let world: PageWorld;

beforeAll(async () => {
  world = await PageWorld.create();
});
afterAll(() => world?.close());
afterEach(async () => {
  expect(await world.leave()).toEqual([]);
});

describe('the first look', () => {
  it('shows an empty list as empty, under a policy without inline code, to be asked for again', async () => {
    const page = await world.visit();
    await world.waitForState('empty');
    expect(await page.textContent('#jobs-note')).toContain('The quay is empty');
    const response = await fetch(`${world.api.url}/`);
    expect(response.headers.get('content-security-policy')).toMatch(
      /default-src 'none'.*frame-ancestors 'none'/,
    );
    expect(response.headers.get('content-security-policy')).not.toContain('unsafe');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const etag = response.headers.get('etag') ?? '';
    // Not by fetch, which forbids the answer 304 to those who set this header themselves.
    const again = await request(`${world.api.url}/`, { headers: { 'If-None-Match': etag } });
    expect(again.statusCode).toBe(304);
  });

  it('shows loading while nothing is known, and a filter that finds nothing as a filter', async () => {
    const page = await world.visit();
    await page.route('**/v1/jobs?*', () => {}, { times: 1 });
    await page.reload();
    await world.waitForState('loading');
    await page.getByRole('radio', { name: 'Failed', exact: true }).check();
    await world.waitForState('filtered');
    expect(await page.textContent('#jobs-note')).toContain('No job is “failed”');
    await page.getByRole('button', { name: 'Show all jobs' }).click();
    await world.waitForState('empty');
  });
});

describe('pictures', () => {
  it('are uploaded, converted, shown and downloaded', async () => {
    const page = await world.visit();
    await page.setInputFiles('#image-files', PHOTOGRAPH);
    await page.fill('#image-width', '200');
    const events = page.waitForResponse((response) => response.url().endsWith('/events'));
    await page.click('#image-submit');
    expect((await events).status()).toBe(200);
    const card = page.locator('.card');
    await card.locator('.status-done').waitFor();
    await card.locator('.thumb-result img').waitFor();
    expect(await card.innerText()).toMatch(/241 kB\s+451 × 300 PNG/);
    const { name, bytes } = await world.downloaded(() =>
      card.getByRole('button', { name: 'Download' }).click(),
    );
    expect(name).toBe('chelsea.webp');
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'webp', width: 200 });
    const row = page.locator('#jobs-table tbody tr').first();
    await row.locator('.status-done').waitFor();
    expect(await row.innerText()).toMatch(/chelsea\.png → WebP, 200 px[\s\S]*Done/);
  });

  it('can be converted with the keyboard alone', async () => {
    const page = await world.visit();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content');
    await world.tabTo({ id: 'image-files' });
    const choosing = page.waitForEvent('filechooser');
    // The browser is told to hand the chooser over by a message of its own: the key must not overtake it.
    await page.evaluate('document.readyState');
    await page.keyboard.press('Enter');
    const chooser = await choosing;
    await chooser.setFiles(PHOTOGRAPH);
    await world.tabTo({ id: 'image-submit' });
    expect(await page.textContent('#image-submit')).toBe('Convert 1 picture to WebP');
    await page.keyboard.press('Enter');
    await page.locator('.card .status-done').waitFor();
    await page.locator('.card .primary').waitFor();
    const { bytes } = await world.downloaded(async () => {
      await world.tabTo({ text: 'Download' });
      await page.keyboard.press('Enter');
    });
    expect((await sharp(bytes).metadata()).format).toBe('webp');
  });

  it('arrive although every event stream is cut', async () => {
    const page = await world.visit();
    await page.route('**/v1/jobs/*/events', (route) => route.abort());
    await world.convert(PHOTOGRAPH);
    await page.locator('.card .status-done').waitFor();
  });
});

describe('contracts', () => {
  it('are shown file by file and downloaded as a zip', async () => {
    const page = await world.visit();
    await world.askFor(KNOWN.standard);
    await page.locator('.source').waitFor();
    expect(await page.textContent('.source-name')).toBe('HarbourToken');
    await page.locator('.file', { hasText: 'Berths.sol' }).click();
    await page.locator('.code', { hasText: 'library Berths' }).waitFor();
    const { name, bytes } = await world.downloaded(() =>
      page.getByRole('button', { name: 'Download zip' }).click(),
    );
    expect(name).toBe(`1-${KNOWN.standard}.zip`);
    expect(bytes.subarray(0, 2).toString()).toBe('PK');
  });

  it('that are not verified fail with a reason and what to do', async () => {
    const page = await world.visit();
    await world.askFor(KNOWN.unverified);
    const problem = page.locator('#contract-state .problem');
    await problem.waitFor();
    expect(await problem.innerText()).toMatch(/ContractNotVerified[\s\S]*not published the source/);
    await page.locator('#contract-state').getByRole('button', { name: 'Retry' }).waitFor();
    const row = page.locator('#jobs-table tr', { hasText: 'ContractNotVerified' });
    await row.locator('.status-failed').waitFor();
    expect(await row.getByRole('button').innerText()).toBe('Retry');
  });

  it('of a wrong address are hinted at, then refused in the words of the server', async () => {
    const page = await world.visit();
    await page.fill('#contract-address', '0x1234');
    expect(await page.textContent('#address-hint')).toBe('4 of 40 digits.');
    await page.click('#contract-submit');
    await page.locator('#contract-state .problem').waitFor();
    const answer = await fetch(`${world.api.url}/v1/contracts`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"address":"0x1234","chainId":1}',
    });
    const { title, detail } = (await answer.json()) as { title: string; detail: string };
    const shown = await page.innerText('#contract-state .problem');
    expect(shown).toContain(title);
    expect(shown).toContain(detail);
    expect(detail).toContain('/address');
    expect(await page.getAttribute('#contract-address', 'aria-invalid')).toBe('true');
  });
});

describe('on a phone', () => {
  it('nothing is wider than the screen, in either theme', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await world.visit({ viewport: { width: 360, height: 740 }, colorScheme });
      await world.convert(PHOTOGRAPH);
      await world.askFor(KNOWN.multi);
      await page.locator('.source .code').waitFor();
      await page.locator('.card .primary').waitFor();
      await world.waitForState('list');
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
      expect((await page.screenshot({ fullPage: true })).length).toBeGreaterThan(10_000);
    }
  });
});
