import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY_SCOPES } from '../../src/ledger/api-keys.ts';
import { startTestApi } from '../support/api.ts';
import { KNOWN, KNOWN_CONTRACTS } from '../support/fake-contracts.ts';
import { PageWorld, startOpenApi } from '../support/page-world.ts';

const PHOTOGRAPH = fileURLToPath(new URL('../../examples/images/chelsea.png', import.meta.url));
const XSS = '<img src=x onerror=window.__xss=1>';
const PAYLOADS = [
  XSS,
  '<script>window.__xss=1</script>',
  '"><svg onload=window.__xss=1>',
  "'-(window.__xss=1)-'",
  'javascript:window.__xss=1',
  '<iframe srcdoc="<script>parent.__xss=1</script>">',
  '</td></tr></table><script>window.__xss=1</script>',
  '<a href="javascript:window.__xss=1">x</a>',
  '#{window.__xss=1}{{constructor.constructor("window.__xss=1")()}}',
];
const HOSTILE_CONTRACT = '0x1000000000000000000000000000000000000099';

let folder: string;
let world: PageWorld;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-page-'));
  (KNOWN_CONTRACTS as Map<string, unknown>).set(HOSTILE_CONTRACT, {
    name: XSS,
    shape: 'multi',
    files: {
      [`contracts/${XSS}.sol`]: `// ${XSS}\ncontract A { string s = "</code><script>window.__xss=1</script>"; }`,
    },
  });
  world = await PageWorld.create();
});
afterAll(async () => {
  await world?.close();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  expect(await world.leave()).toEqual([]);
});

describe('hostile texts', () => {
  it('a file that is no picture is refused in the words of the server, whatever its name', async () => {
    const page = await world.visit();
    const file = join(folder, `${XSS.replaceAll('/', '')}.png`);
    await writeFile(file, '<!doctype html><script>window.__xss=1</script>');
    await world.convert(file);
    const problem = page.locator('.card .problem');
    await problem.waitFor();
    expect(await problem.innerText()).toContain('The request has mistakes');
    expect(await problem.innerText()).toContain('/file');
    expect(await page.locator('.card-title').textContent()).toContain('<img src=x');
  });

  it('the name of a picture is text', async () => {
    const page = await world.visit();
    const file = join(folder, `${XSS}.png`);
    await copyFile(PHOTOGRAPH, file);
    await world.convert(file);
    await page.locator('.card .status-done').waitFor();
    const about = page.locator('#jobs-table .job-about', { hasText: '<img src=x' });
    await about.waitFor();
    expect(await page.locator('img[src="x"]').count()).toBe(0);
  });

  it('names and sources of a contract are text', async () => {
    const page = await world.visit();
    await world.askFor(HOSTILE_CONTRACT);
    await page.locator('.source').waitFor();
    expect(await page.textContent('.source-name')).toBe(XSS);
    expect(await page.textContent('.file-name')).toContain(XSS);
    await page.locator('.code', { hasText: '<script>' }).waitFor();
    expect(await page.locator('img[src="x"]').count()).toBe(0);
  });

  it('whatever is in the input of a job is text', async () => {
    for (const text of PAYLOADS) await world.api.submit(text);
    const page = await world.visit();
    await page.locator('#jobs-table tr', { hasText: 'javascript:' }).first().waitFor();
    expect(await page.locator('#jobs-table .job-about').allTextContents()).toEqual(
      expect.arrayContaining(PAYLOADS.map((text) => JSON.stringify({ text }))),
    );
    expect(await page.locator('#jobs-table :is(script, img, iframe, a)').count()).toBe(0);
  });
});

describe('trouble', () => {
  it('a server that is down is told as that, keeps what was known, and is found again', async () => {
    let other = await startOpenApi(world.ledger);
    const port = Number(new URL(other.url).port);
    const page = await world.visit({ url: other.url });
    await world.waitForState('list');
    await other.stop();
    await world.waitForState('stale');
    expect(await page.innerText('#jobs-note')).toContain('Longshore cannot be reached');
    expect(await page.textContent('#connection-text')).toBe('No connection, trying again');
    await page.getByRole('radio', { name: 'Running', exact: true }).check();
    await world.waitForState('failed');
    await page.getByRole('radio', { name: 'All', exact: true }).check();
    other = await startOpenApi(world.ledger, port);
    try {
      await world.waitForState('list');
      expect(await page.textContent('#connection-text')).toBe('Connected');
    } finally {
      await other.stop();
    }
  });

  it('a server that wants a key is given one, which is stored nowhere', async () => {
    const guarded = await startTestApi(world.ledger);
    try {
      const page = await world.visit({ url: guarded.url });
      await page.locator('#key-dialog[open]').waitFor();
      await page.click('#key-cancel');
      await world.waitForState('failed');
      await page.getByRole('button', { name: 'API key', exact: true }).click();
      const key = await guarded.key('default', API_KEY_SCOPES);
      await page.fill('#key-field', key);
      await page.keyboard.press('Enter');
      await world.waitForState('list');
      await world.convert(PHOTOGRAPH);
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
    const response = await world.api.call('/v1/jobs', {
      json: { type: 'contract-source', input: { address: KNOWN.single }, runAt },
    });
    const { id } = (await response.json()) as { id: string };
    const page = await world.visit();
    const row = page.locator(`tr[data-job="${id}"]`);
    await row.locator('.status-waiting').waitFor();
    await row.getByRole('button', { name: /^Cancel/ }).click();
    await row.locator('.status-cancelled').waitFor();
    expect(await row.innerText()).toContain('Cancelled');
    await row.getByRole('button', { name: /^Retry/ }).click();
    await row.locator('.status-done').waitFor();
  });
});
