import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createControllerMetrics } from './metrics.ts';

test('a ban shows with what is left of it, what was used with its period, and pairs with their state', async () => {
  const registry = new Registry();
  const metrics = createControllerMetrics(registry);
  metrics.onBudgets([
    { name: 'binance', bannedSeconds: 120, usedToday: 8, usedThisMonth: 80 },
    { name: 'coingecko', bannedSeconds: 0, usedToday: 1, usedThisMonth: 2 },
  ]);
  metrics.onRates([
    { provider: 'binance', state: 'fresh', pairs: 3 },
    { provider: 'binance', state: 'stale', pairs: 1 },
  ]);
  // A state that nobody is in any more must not stay at its last value.
  metrics.onRates([{ provider: 'binance', state: 'failing', pairs: 4 }]);
  const text = await registry.metrics();
  expect(text).toContain('longshore_budget_paused_seconds{budget="binance"} 120');
  expect(text).toContain('longshore_budget_paused_seconds{budget="coingecko"} 0');
  expect(text).toContain('longshore_budget_used_calls{budget="binance",period="month"} 80');
  expect(text).toContain('longshore_rates_pairs{provider="binance",state="failing"} 4');
  expect(text).toContain('longshore_rates_pairs{provider="binance",state="fresh"} 0');
});
