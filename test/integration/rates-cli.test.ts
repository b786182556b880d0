import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../../hack/stack/run-cli.ts';
import { listTradeInfo } from '../../src/ledger/trade-info.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
beforeAll(async () => {
  ledger = await createTestLedger(['exchange-rate']);
});
afterAll(() => ledger?.close());

const rates = (...args: string[]) =>
  runCli(
    ['rates', ...args],
    { LONGSHORE_POSTGRES_URL: ledger.url, NO_COLOR: '1' },
    AbortSignal.timeout(60_000),
  );
const rows = (namespace = 'default') => listTradeInfo(ledger.db, namespace, { limit: 500, after: null });

it('fills the table at the first start, and not again', async () => {
  expect(await rates('seed')).toMatch(/^Added \d\d pairs$/);
  const seeded = await rows();
  expect(seeded).toContainEqual(
    expect.objectContaining({ provider: 'binance', base: 'BTC', quote: 'USDT', intervalSeconds: 10 }),
  );
  expect(seeded).toContainEqual(
    expect.objectContaining({ provider: 'coingecko', base: 'BTC', quote: 'UAH', intervalSeconds: 300 }),
  );
  expect(await rates('seed')).toBe('The table has rows: nothing was added');
  expect(await rows()).toEqual(seeded);
  expect(await rows('elsewhere')).toEqual([]);
});

it('adds, changes, shows and removes a pair', async () => {
  expect(await rates('add', 'binance', 'link-usdt', '--interval', '5m')).toBe('Added LINK-USDT at binance');
  expect(await rates('add', 'binance', 'LINK-USDT', '--symbol', 'LINKUSDT')).toBe(
    'Changed LINK-USDT at binance',
  );
  expect(await rates('disable', 'binance', 'LINK-USDT')).toBe('Disabled LINK-USDT at binance');
  const shown = JSON.parse(await rates('list', '--json')) as { base: string }[];
  expect(shown.find(({ base }) => base === 'LINK')).toMatchObject({
    providerSymbol: 'LINKUSDT',
    intervalSeconds: 60,
    enabled: false,
  });
  expect(await rates('list')).toMatch(/binance +│ LINK-USDT +│ LINKUSDT +│ 60 s +│ +│ +│ disabled/);
  await rates('enable', 'binance', 'LINK-USDT');
  expect(await rates('list')).toMatch(/LINK-USDT.*waiting/);
  expect(await rates('remove', 'binance', 'LINK-USDT')).toBe('Removed LINK-USDT at binance');
});

it.each([
  [['add', 'nobody', 'BTC-USDT'], 'There is no provider "nobody"; there are binance, coingecko'],
  [['add', 'binance', 'BTC'], '"BTC" is no pair'],
  [['add', 'binance', 'BTC-USDT', '--interval', '0s'], '"0s" is no interval'],
  [['add', 'binance', 'BTC-USDT', '--interval', '2d'], 'at most 1d'],
  [['add', 'coingecko', 'ZZZ-USD'], '--symbol is needed'],
  [['remove', 'binance', 'NO-SUCH'], 'NO-SUCH at binance is not tracked'],
  [['enable', 'binance', 'NO-SUCH'], 'NO-SUCH at binance is not tracked'],
])('%j is a mistake, and changes nothing', async (args, message) => {
  const before = await rows();
  await expect(rates(...args)).rejects.toThrow(message);
  expect(await rows()).toEqual(before);
});
