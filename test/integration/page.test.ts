import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import sharp from 'sharp';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY_SCOPES } from '../../src/ledger/api-keys.ts';
import { createShippedHandlers } from '../../src/types/handlers.ts';
import { SHIPPED_TYPES } from '../../src/types/registry.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { launchChromium } from '../support/browser.ts';
import { Embedded } from '../support/embedded.ts';
import { KNOWN, KNOWN_CONTRACTS } from '../support/fake-contracts.ts';
import { startFakeEtherscan } from '../support/fake-etherscan.ts';
import type { FakeProvider } from '../support/fake-provider.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';

const PHOTOGRAPH = fileURLToPath(new URL('../../examples/images/chelsea.png', import.meta.url));
const XSS = '<img src=x onerror=window.__xss=1>';
const HOSTILE_CONTRACT = '0x1000000000000000000000000000000000000099';

let ledger: TestLedger;
let embedded: Embedded;
let etherscan: FakeProvider;
let api: TestApi;
let browser: Browser;
let folder: string;
let page: Page;
let mistakes: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-page-'));
  (KNOWN_CONTRACTS as Map<string, unknown>).set(HOSTILE_CONTRACT, {
    name: XSS,
    shape: 'multi',
    files: {
      [`contracts/${XSS}.sol`]: `// ${XSS}\ncontract A { string s = "</code><script>window.__xss=1</script>"; }`,
    },
  });
  [ledger, etherscan, browser] = await Promise.all([
    createTestLedger(SHIPPED_TYPES.map((type) => type.name)),
    startFakeEtherscan(),
    launchChromium(),
  ]);
  embedded = new Embedded({
    ledger,
    registrations: createShippedHandlers({
      contractSource: {
        etherscan: { baseUrl: etherscan.url, apiKey: 'test', perSecond: 100 },
        order: ['etherscan'],
      },
    }),
  });
  embedded.startController();
  await embedded.startWorker();
  api = await startOpenApi();
});
afterAll(async () => {
  await browser?.close();
  await api?.stop();
  await embedded?.stop();
  await etherscan?.close();
  await ledger?.close();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  const xss = await page.evaluate(() => (globalThis as { __xss?: unknown }).__xss ?? null);
  await page.context().close();
  expect(xss).toBeNull();
  expect(mistakes).toEqual([]);
});

function startOpenApi(port = 0): Promise<TestApi> {
  return startTestApi(ledger, {
    auth: 'off',
    port,
    limits: { imageBytes: 8_388_608, maxStreamsPerKey: 50 },
  });
}

/** A new page; what its scripts throw and what its policy refuses is a mistake. */
async function visit(options: BrowserContextOptions & { url?: string } = {}): Promise<void> {
  const { url = api.url, ...contextOptions } = options;
  const context = await browser.newContext({ viewport: { width: 1_280, height: 900 }, ...contextOptions });
  context.setDefaultTimeout(20_000);
  page = await context.newPage();
  mistakes = [];
  page.on('pageerror', (error) => mistakes.push(String(error)));
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) mistakes.push(message.text());
  });
  await page.goto(`${url}/`);
}

async function waitForState(state: string): Promise<void> {
  await page.locator(`#jobs[data-state="${state}"]`).waitFor();
}

async function downloaded(click: () => Promise<void>): Promise<{ name: string; bytes: Buffer }> {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
}

async function askFor(address: string): Promise<void> {
  await page.fill('#contract-address', address);
  await page.click('#contract-submit');
}

describe('the first look', () => {
  it('shows an empty list as empty, under a policy without inline code, to be asked for again', async () => {
    await visit();
    await waitForState('empty');
    expect(await page.textContent('#jobs-note')).toContain('The quay is empty');
    const response = await fetch(`${api.url}/`);
    expect(response.headers.get('content-security-policy')).toMatch(
      /default-src 'none'.*frame-ancestors 'none'/,
    );
    expect(response.headers.get('content-security-policy')).not.toContain('unsafe');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const etag = response.headers.get('etag') ?? '';
    // Not by fetch, which forbids the answer 304 to those who set this header themselves.
    const again = await request(`${api.url}/`, { headers: { 'If-None-Match': etag } });
    expect(again.statusCode).toBe(304);
  });

  it('shows loading while nothing is known, and a filter that finds nothing as a filter', async () => {
    await visit();
    await page.route('**/v1/jobs?*', () => {}, { times: 1 });
    await page.reload();
    await waitForState('loading');
    await page.getByRole('radio', { name: 'Failed', exact: true }).check();
    await waitForState('filtered');
    expect(await page.textContent('#jobs-note')).toContain('No job is “failed”');
    await page.getByRole('button', { name: 'Show all jobs' }).click();
    await waitForState('empty');
  });
});

describe('pictures', () => {
  it('are uploaded, converted, shown and downloaded', async () => {
    await visit();
    await page.setInputFiles('#image-files', PHOTOGRAPH);
    await page.fill('#image-width', '200');
    await page.click('#image-submit');
    const card = page.locator('.card');
    await card.locator('.status-done').waitFor();
    await card.locator('.thumb-result img').waitFor();
    expect(await card.innerText()).toMatch(/241 kB\s+451 × 300 PNG/);
    const { name, bytes } = await downloaded(() => card.getByRole('button', { name: 'Download' }).click());
    expect(name).toBe('chelsea.webp');
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'webp', width: 200 });
    const row = page.locator('#jobs-table tbody tr').first();
    await row.locator('.status-done').waitFor();
    expect(await row.innerText()).toMatch(/chelsea\.png → WebP, 200 px[\s\S]*Done/);
  });

  it('can be converted with the keyboard alone', async () => {
    await visit();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content');
    await tabTo('image-files');
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.keyboard.press('Enter')]);
    await chooser.setFiles(PHOTOGRAPH);
    await tabTo('image-submit');
    expect(await page.textContent('#image-submit')).toBe('Convert 1 picture to WebP');
    await page.keyboard.press('Enter');
    await page.locator('.card .status-done').waitFor();
    await page.locator('.card .primary').waitFor();
    const { bytes } = await downloaded(async () => {
      await tabTo(null, 'Download');
      await page.keyboard.press('Enter');
    });
    expect((await sharp(bytes).metadata()).format).toBe('webp');
  });

  it('arrive although every event stream is cut', async () => {
    await visit();
    await page.route('**/v1/jobs/*/events', (route) => route.abort());
    await page.setInputFiles('#image-files', PHOTOGRAPH);
    await page.click('#image-submit');
    await page.locator('.card .status-done').waitFor();
  });

  it('that are none are refused in the words of the server, whatever their name', async () => {
    await visit();
    const file = join(folder, `${XSS.replaceAll('/', '')}.png`);
    await writeFile(file, '<!doctype html><script>window.__xss=1</script>');
    await page.setInputFiles('#image-files', file);
    await page.click('#image-submit');
    const problem = page.locator('.card .problem');
    await problem.waitFor();
    expect(await problem.innerText()).toContain('The request has mistakes');
    expect(await problem.innerText()).toContain('/file');
    expect(await page.locator('.card-title').textContent()).toContain('<img src=x');
  });

  it('with a hostile name are shown as text and come back', async () => {
    await visit();
    const file = join(folder, `${XSS}.png`);
    await copyFile(PHOTOGRAPH, file);
    await page.setInputFiles('#image-files', file);
    await page.click('#image-submit');
    await page.locator('.card .status-done').waitFor();
    const about = page.locator('#jobs-table .job-about', { hasText: '<img src=x' });
    await about.waitFor();
    expect(await page.locator('img[src="x"]').count()).toBe(0);
  });
});

/** Presses Tab until the element has the focus: it must be reachable by keyboard. */
async function tabTo(id: string | null, text = ''): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate<{ id: string; text: string }>(
      '({ id: document.activeElement.id, text: document.activeElement.textContent })',
    );
    if (id === null ? focused.text === text : focused.id === id) return;
  }
  throw new Error(`60 presses of Tab did not reach ${id ?? text}`);
}

describe('contracts', () => {
  it('are shown file by file and downloaded as a zip', async () => {
    await visit();
    await askFor(KNOWN.standard);
    await page.locator('.source').waitFor();
    expect(await page.textContent('.source-name')).toBe('HarbourToken');
    await page.locator('.file', { hasText: 'Berths.sol' }).click();
    await page.locator('.code', { hasText: 'library Berths' }).waitFor();
    const { name, bytes } = await downloaded(() =>
      page.getByRole('button', { name: 'Download zip' }).click(),
    );
    expect(name).toBe(`1-${KNOWN.standard}.zip`);
    expect(bytes.subarray(0, 2).toString()).toBe('PK');
  });

  it('show hostile names and sources as text', async () => {
    await visit();
    await askFor(HOSTILE_CONTRACT);
    await page.locator('.source').waitFor();
    expect(await page.textContent('.source-name')).toBe(XSS);
    expect(await page.textContent('.file-name')).toContain(XSS);
    await page.locator('.code', { hasText: '<script>' }).waitFor();
    expect(await page.locator('img[src="x"]').count()).toBe(0);
  });

  it('that are not verified fail with a reason and what to do', async () => {
    await visit();
    await askFor(KNOWN.unverified);
    const problem = page.locator('#contract-state .problem');
    await problem.waitFor();
    expect(await problem.innerText()).toMatch(/ContractNotVerified[\s\S]*not published the source/);
    await page.locator('#contract-state').getByRole('button', { name: 'Retry' }).waitFor();
    const row = page.locator('#jobs-table tr', { hasText: 'ContractNotVerified' });
    await row.locator('.status-failed').waitFor();
    expect(await row.getByRole('button').innerText()).toBe('Retry');
  });

  it('of a wrong address are hinted at, then refused in the words of the server', async () => {
    await visit();
    await page.fill('#contract-address', '0x1234');
    expect(await page.textContent('#address-hint')).toBe('4 of 40 digits.');
    await page.click('#contract-submit');
    await page.locator('#contract-state .problem').waitFor();
    const answer = await fetch(`${api.url}/v1/contracts`, {
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
      await page?.context().close();
      await visit({ viewport: { width: 360, height: 740 }, colorScheme });
      await page.setInputFiles('#image-files', PHOTOGRAPH);
      await page.click('#image-submit');
      await askFor(KNOWN.multi);
      await page.locator('.source .code').waitFor();
      await page.locator('.card .primary').waitFor();
      await waitForState('list');
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
      expect((await page.screenshot({ fullPage: true })).length).toBeGreaterThan(10_000);
    }
  });
});

describe('trouble', () => {
  it('a server that is down is told as that, keeps what was known, and is found again', async () => {
    let other = await startOpenApi();
    const port = Number(new URL(other.url).port);
    await visit({ url: other.url });
    await waitForState('list');
    await other.stop();
    await waitForState('stale');
    expect(await page.innerText('#jobs-note')).toContain('Longshore cannot be reached');
    expect(await page.textContent('#connection-text')).toBe('No connection, trying again');
    await page.getByRole('radio', { name: 'Running', exact: true }).check();
    await waitForState('failed');
    await page.getByRole('radio', { name: 'All', exact: true }).check();
    other = await startOpenApi(port);
    try {
      await waitForState('list');
      expect(await page.textContent('#connection-text')).toBe('Connected');
    } finally {
      await other.stop();
    }
  });

  it('a server that wants a key is given one, which is stored nowhere', async () => {
    const guarded = await startTestApi(ledger);
    try {
      await visit({ url: guarded.url });
      await page.locator('#key-dialog[open]').waitFor();
      await page.click('#key-cancel');
      await waitForState('failed');
      await page.getByRole('button', { name: 'API key', exact: true }).click();
      const key = await guarded.key('default', API_KEY_SCOPES);
      await page.fill('#key-field', key);
      await page.keyboard.press('Enter');
      await waitForState('list');
      await page.setInputFiles('#image-files', PHOTOGRAPH);
      await page.click('#image-submit');
      await page.locator('.card .thumb-result').waitFor();
      const kept = await page.evaluate(
        'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])',
      );
      expect(kept).not.toContain(key);
    } finally {
      await guarded.stop();
    }
  });

  it('a job that waits is cancelled and retried from its row', async () => {
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const response = await api.call('/v1/jobs', {
      json: { type: 'contract-source', input: { address: KNOWN.single }, runAt },
    });
    const { id } = (await response.json()) as { id: string };
    await visit();
    const row = page.locator(`tr[data-job="${id}"]`);
    await row.locator('.status-waiting').waitFor();
    await row.getByRole('button', { name: /^Cancel/ }).click();
    await row.locator('.status-cancelled').waitFor();
    expect(await row.innerText()).toContain('Cancelled');
    await row.getByRole('button', { name: /^Retry/ }).click();
    await row.locator('.status-done').waitFor();
  });
});
