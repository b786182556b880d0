import { readFile } from 'node:fs/promises';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Database } from '../../src/ledger/database.ts';
import type { PeriodicService } from '../../src/lifecycle/service.ts';
import { createShippedHandlers } from '../../src/types/handlers.ts';
import { SHIPPED_TYPES } from '../../src/types/registry.ts';
import { startTestApi, type TestApi } from './api.ts';
import { launchChromium } from './browser.ts';
import { Embedded } from './embedded.ts';
import { startFakeEtherscan } from './fake-etherscan.ts';
import type { FakeProvider } from './fake-provider.ts';
import { createTestLedger, type TestLedger } from './ledger.ts';

/** Everything behind the page for real but the provider of contracts, and a browser in front of it. */
export class PageWorld {
  readonly ledger: TestLedger;
  readonly api: TestApi;
  readonly #browser: Browser;
  readonly #embedded: Embedded;
  readonly #etherscan: FakeProvider;
  #page: Page | undefined;
  #mistakes: string[] = [];

  private constructor(
    ledger: TestLedger,
    api: TestApi,
    browser: Browser,
    embedded: Embedded,
    etherscan: FakeProvider,
  ) {
    this.ledger = ledger;
    this.api = api;
    this.#browser = browser;
    this.#embedded = embedded;
    this.#etherscan = etherscan;
  }

  static async create(
    options: { services?: (db: Database) => readonly PeriodicService[] } = {},
  ): Promise<PageWorld> {
    const [ledger, etherscan, browser] = await Promise.all([
      createTestLedger(SHIPPED_TYPES.map((type) => type.name)),
      startFakeEtherscan(),
      launchChromium(),
    ]);
    const contractSource = {
      etherscan: { baseUrl: etherscan.url, apiKey: 'test', perSecond: 100 },
      order: ['etherscan'] as const,
    };
    const embedded = new Embedded({
      ledger,
      registrations: createShippedHandlers({ contractSource }),
      services: options.services?.(ledger.db) ?? [],
    });
    embedded.startController();
    await embedded.startWorker();
    return new PageWorld(ledger, await startOpenApi(ledger), browser, embedded, etherscan);
  }

  get page(): Page {
    if (this.#page === undefined) throw new Error('No page was visited');
    return this.#page;
  }

  /** Opens the page in a new context; what its scripts throw and what its policy refuses is a mistake. */
  async visit(options: BrowserContextOptions & { url?: string } = {}): Promise<Page> {
    const { url = this.api.url, ...contextOptions } = options;
    await this.#page?.context().close();
    const context = await this.#browser.newContext({
      viewport: { width: 1_280, height: 900 },
      ...contextOptions,
    });
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    this.#page = page;
    page.on('pageerror', (error) => this.#mistakes.push(String(error)));
    page.on('console', (message) => {
      if (/Content Security Policy/i.test(message.text())) this.#mistakes.push(message.text());
    });
    await page.goto(url.endsWith('.html') ? url : `${url}/`);
    return page;
  }

  /** Closes the page; answers what went wrong in it: errors, refusals of the policy, a payload that ran. */
  async leave(): Promise<string[]> {
    const xss = await this.page.evaluate<unknown>('globalThis.__xss ?? null');
    await this.page.context().close();
    this.#page = undefined;
    return [...this.#mistakes.splice(0), ...(xss === null ? [] : ['A payload ran'])];
  }

  async waitForState(state: string): Promise<void> {
    await this.page.locator(`#jobs[data-state="${state}"]`).waitFor();
  }

  async askFor(address: string): Promise<void> {
    await this.page.fill('#contract-address', address);
    await this.page.click('#contract-submit');
  }

  async convert(file: string): Promise<void> {
    await this.page.setInputFiles('#image-files', file);
    await this.page.click('#image-submit');
  }

  /** What `act` made the browser download. */
  async downloaded(act: () => Promise<void>): Promise<{ name: string; bytes: Buffer }> {
    const [download] = await Promise.all([this.page.waitForEvent('download'), act()]);
    return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
  }

  /** Presses Tab until the element with this id or text has the focus: it must be reachable by keyboard. */
  async tabTo(wanted: { id?: string; text?: string }): Promise<void> {
    for (let presses = 0; presses < 60; presses += 1) {
      await this.page.keyboard.press('Tab');
      const focused = await this.page.evaluate<{ id: string; text: string }>(
        '({ id: document.activeElement.id, text: document.activeElement.textContent })',
      );
      if (focused.id === wanted.id || focused.text === wanted.text) return;
    }
    throw new Error(`60 presses of Tab did not reach ${JSON.stringify(wanted)}`);
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.api.stop();
    await this.#embedded.stop();
    await this.#etherscan.close();
    await this.ledger.close();
  }
}

/** An API that asks nobody for a key. */
export function startOpenApi(ledger: TestLedger, port = 0): Promise<TestApi> {
  return startTestApi(ledger, {
    auth: 'off',
    port,
    limits: { imageBytes: 8_388_608, maxStreamsPerKey: 50 },
  });
}
