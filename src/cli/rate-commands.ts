import type { Command } from 'commander';
import { parsePair } from '../core/rates/rate.ts';
import { parseEvery } from '../core/schedule.ts';
import {
  deleteTradeInfo,
  getTradeInfo,
  listTradeInfo,
  putTradeInfo,
  type TradeInfo,
  type TradeInfoState,
  type TradeKey,
} from '../ledger/trade-info.ts';
import { loadProvider, PROVIDER_NAMES } from '../types/exchange-rate/provider-folder.ts';
import { seedRates } from './seed-rates.ts';
import { createTable } from './table.ts';
import { UsageError } from './usage-error.ts';
import { withLedger } from './with-ledger.ts';

interface Named {
  namespace: string;
}

const NAMESPACE = ['-n, --namespace <namespace>', 'whose rates', 'default'] as const;
const DAY_SECONDS = 86_400;
const PAGE = 500;

/** `longshore rates`: which exchange rates are tracked. */
export function addRateCommands(program: Command): void {
  const rates = program.command('rates').description('manage the exchange rates that are tracked');
  rates
    .command('seed')
    .description('fill the table with the usual pairs, unless it has rows: for a first start')
    .option(...NAMESPACE)
    .action(async ({ namespace }: Named) => console.log(await seed(namespace)));
  rates
    .command('add <provider> <pair>')
    .description(`track a pair such as BTC-USDT at ${PROVIDER_NAMES.join(' or ')}, or change how`)
    .option('--symbol <symbol>', 'what the provider calls it, where that does not follow from the pair')
    .option('--interval <interval>', 'how often it is asked for: 10s, 5m, 1h', '60s')
    .option('--disabled', 'do not begin yet')
    .option(...NAMESPACE)
    .action(
      async (
        provider: string,
        pair: string,
        options: Named & { symbol?: string; interval: string; disabled?: true },
      ) => {
        const info: TradeInfo = {
          ...readKey(provider, pair, options),
          providerSymbol: options.symbol ?? null,
          intervalSeconds: readInterval(options.interval),
          enabled: options.disabled !== true,
        };
        await requireSymbol(info);
        const outcome = await withLedger((db) => putTradeInfo(db, info));
        console.log(`${outcome === 'created' ? 'Added' : 'Changed'} ${nameOf(info)}`);
      },
    );
  rates
    .command('list')
    .description('show what is tracked, and how each pair stands')
    .option('--json', 'print it as JSON')
    .option(...NAMESPACE)
    .action(async ({ namespace, json }: Named & { json?: true }) => {
      const infos = await listAll(namespace);
      console.log(json === true ? JSON.stringify(infos, null, 2) : render(infos));
    });
  for (const enabled of [true, false]) {
    rates
      .command(`${enabled ? 'enable' : 'disable'} <provider> <pair>`)
      .description(enabled ? 'ask for a pair again' : 'ask for a pair no more, and keep its history')
      .option(...NAMESPACE)
      .action(async (provider: string, pair: string, options: Named) => {
        const key = readKey(provider, pair, options);
        await withLedger(async (db) => {
          const found = await getTradeInfo(db, key);
          if (found === null) throw new UsageError(`${nameOf(key)} is not tracked`);
          await putTradeInfo(db, { ...found, enabled });
        });
        console.log(`${enabled ? 'Enabled' : 'Disabled'} ${nameOf(key)}`);
      });
  }
  rates
    .command('remove <provider> <pair>')
    .description('track a pair no more, and forget its history')
    .option(...NAMESPACE)
    .action(async (provider: string, pair: string, options: Named) => {
      const key = readKey(provider, pair, options);
      if (!(await withLedger((db) => deleteTradeInfo(db, key))))
        throw new UsageError(`${nameOf(key)} is not tracked`);
      console.log(`Removed ${nameOf(key)}`);
    });
}

async function seed(namespace: string): Promise<string> {
  const added = await withLedger((db) => seedRates(db, namespace));
  return added === 0 ? 'The table has rows: nothing was added' : `Added ${added} pairs`;
}

function readKey(provider: string, text: string, { namespace }: Named): TradeKey {
  const pair = parsePair(text);
  if (pair === null) throw new UsageError(`"${text}" is no pair; write it like BTC-USDT`);
  return { namespace, provider, ...pair };
}

function readInterval(text: string): number {
  const seconds = parseEvery(text);
  if (seconds === null || seconds > DAY_SECONDS)
    throw new UsageError(`"${text}" is no interval; write it like 10s, 5m or 1h, at most 1d`);
  return seconds;
}

async function requireSymbol(info: TradeInfo): Promise<void> {
  const provider = await loadProvider(info.provider);
  if (provider === null)
    throw new UsageError(`There is no provider "${info.provider}"; there are ${PROVIDER_NAMES.join(', ')}`);
  if (info.providerSymbol === null && provider.symbolOf(info.base, info.quote) === null)
    throw new UsageError(`--symbol is needed: what ${provider.title} calls ${info.base}`);
}

async function listAll(namespace: string): Promise<TradeInfoState[]> {
  return withLedger(async (db) => {
    const all: TradeInfoState[] = [];
    let after: TradeKey | null = null;
    for (;;) {
      const page: TradeInfoState[] = await listTradeInfo(db, namespace, { limit: PAGE, after });
      all.push(...page);
      after = page.at(-1) ?? null;
      if (page.length < PAGE) return all;
    }
  });
}

function render(infos: readonly TradeInfoState[]): string {
  const table = createTable(['PROVIDER', 'PAIR', 'SYMBOL', 'EVERY', 'PRICE', 'AGE', 'STATE']);
  for (const info of infos) {
    const { provider, base, quote, providerSymbol, intervalSeconds, price, atMs } = info;
    const age = atMs === null ? '' : `${Math.max(0, Math.round((Date.now() - atMs) / 1_000))} s`;
    table.push([
      ...[provider, `${base}-${quote}`, providerSymbol ?? '', `${intervalSeconds} s`, price ?? '', age],
      stateOf(info),
    ]);
  }
  return table.toString();
}

function stateOf({ provider, enabled, error, failures, price }: TradeInfoState): string {
  if (!enabled) return 'disabled';
  if (!PROVIDER_NAMES.includes(provider)) return 'ProviderUnknown';
  if (error !== null) return `${error} (${failures} in a row)`;
  return price === null ? 'waiting' : 'ok';
}

function nameOf({ provider, base, quote }: TradeKey): string {
  return `${base}-${quote} at ${provider}`;
}
