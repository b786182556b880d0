/**
 * The stand-ins for Etherscan, Binance, CoinGecko and Telegram in one process, as a pod of the cluster under test runs
 * them, and a port by which a test changes a price, writes to the bot and reads what it sent.
 */
import { createServer } from 'node:http';
import { startFakeBinance } from '../../support/fake-binance.ts';
import { startFakeCoinGecko } from '../../support/fake-coingecko.ts';
import { startFakeEtherscan } from '../../support/fake-etherscan.ts';
import { FakeTelegram } from '../../support/fake-telegram.ts';
import { PORTS } from './provider-pod.ts';

const host = '0.0.0.0';
const [, binance, , telegram] = await Promise.all([
  startFakeEtherscan({ host, port: PORTS.etherscan, unlimited: true }),
  startFakeBinance({ host, port: PORTS.binance, prices: { BTCUSDT: '67187.10000000' } }),
  startFakeCoinGecko({ host, port: PORTS.coingecko, coins: { tether: { prices: { uah: '41.5' } } } }),
  FakeTelegram.start({ host, port: PORTS.telegram }),
]);

const control = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control');
  if (pathname === '/price') binance.prices.set(searchParams.get('symbol') ?? '', searchParams.get('price'));
  else if (pathname === '/say') telegram.say(searchParams.get('text') ?? '');
  else if (pathname !== '/messages') response.statusCode = 404;
  response.end(JSON.stringify(telegram.messages));
});
control.listen(PORTS.control, host);
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit());
