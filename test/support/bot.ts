import { Registry } from 'prom-client';
import { createBotMetrics } from '../../src/bot/metrics.ts';
import { type BotOptions, type RunningBot, startBot } from '../../src/bot/start-bot.ts';
import { systemClock } from '../../src/core/clock.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { BOT_TOKEN, FakeTelegram } from './fake-telegram.ts';
import { createTestLedger, type TestLedger } from './ledger.ts';
import { track } from './rates.ts';

/** A bot, or several after each other, between a stand-in for Telegram and a ledger of its own. */
export class BotWorld {
  readonly ledger: TestLedger;
  readonly telegram: FakeTelegram;
  readonly registry = new Registry();
  readonly metrics = createBotMetrics(this.registry);
  readonly #running: RunningBot[] = [];

  private constructor(ledger: TestLedger, telegram: FakeTelegram) {
    this.ledger = ledger;
    this.telegram = telegram;
  }

  static async start(): Promise<BotWorld> {
    return new BotWorld(await createTestLedger(['exchange-rate']), await FakeTelegram.start());
  }

  async startBot(overrides: Partial<BotOptions> = {}): Promise<RunningBot> {
    const bot = await startBot({
      postgresUrl: this.ledger.url,
      token: BOT_TOKEN,
      apiUrl: this.telegram.url,
      namespace: 'default',
      webhook: null,
      perMinute: 6_000,
      maxSubscriptions: 20,
      logger: silentLogger,
      metrics: this.metrics,
      clock: systemClock,
      signal: AbortSignal.timeout(60_000),
      ...overrides,
    });
    this.#running.push(bot);
    return bot;
  }

  /** Makes `binance BTC-USDT` cost so much, as of so many seconds ago. */
  async price(text: string, price: string, ageSeconds = 0): Promise<void> {
    const [provider = '', pair = ''] = text.split(' ');
    const [base, quote] = pair.split('-');
    const key = [provider, base, quote];
    const found = await this.ledger.db.query(
      `select id from trade_info where namespace = 'default' and provider = $1 and base = $2 and quote = $3`,
      key,
    );
    if (found.rowCount === 0) await track(this.ledger, text);
    await this.ledger.db.query(
      `with kept as (
         insert into current_rates (trade_id, price, at, round_at)
         select id, $4::numeric, clock_timestamp() - make_interval(secs => $5), clock_timestamp() from trade_info
         where namespace = 'default' and provider = $1 and base = $2 and quote = $3
         on conflict (trade_id) do update set price = excluded.price, at = excluded.at, round_at = excluded.round_at
         returning 1)
       select touch_rates(array['default']) from kept`,
      [...key, price, ageSeconds],
    );
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const found = await this.registry.getSingleMetric(name)?.get();
    return (
      found?.values.find(({ labels: has }) =>
        Object.entries(labels).every(
          ([key, value]) => String((has as Record<string, unknown>)[key]) === value,
        ),
      )?.value ?? 0
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map((bot) => bot.stop().catch(() => {})));
    await this.telegram.close();
    await this.ledger.close();
  }
}
