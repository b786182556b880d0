import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ConfigError, listVariables, loadConfig } from './config.ts';
import { renderReference } from './reference.ts';

function mistakesOf(env: Record<string, string>, required: string[] = []): readonly string[] {
  try {
    loadConfig(env, required);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

test('an empty environment gives the defaults, frozen', () => {
  const config = loadConfig({});
  expect(config).toMatchObject({
    redis: { prefix: 'longshore' },
    kubernetes: { mode: 'off' },
    api: { auth: 'keys', jsonLimitBytes: 1_048_576, imageLimitBytes: 33_554_432 },
    worker: { types: [], leaseSeconds: 30, renewSeconds: 10 },
    controller: { window: 1_000 },
    webhooks: { allowPrivate: false },
    retention: { jobDays: 30, blobDays: 7, rateDays: 2, rateMinuteDays: 30, rateHourDays: 730 },
  });
  expect(() => Object.assign(config.api, { port: 1 })).toThrow(TypeError);
  expect(() => Object.assign(config, { api: {} })).toThrow(TypeError);
});

test('values are parsed to their types', () => {
  const config = loadConfig({
    LONGSHORE_WORKER_TYPES: ' image-convert, contract-source ',
    LONGSHORE_WEBHOOK_ALLOW_PRIVATE: 'true',
    LONGSHORE_KEY_RATE_PER_SECOND: '0.5',
    LONGSHORE_API_PORT: '0',
    LONGSHORE_WINDOW: '',
  });
  expect(config.worker.types).toEqual(['image-convert', 'contract-source']);
  expect(config.webhooks.allowPrivate).toBe(true);
  expect(config.api).toMatchObject({ keyRatePerSecond: 0.5, port: 0 });
  expect(config.controller.window).toBe(1_000);
});

test('every mistake is listed at once, with what is allowed', () => {
  const mistakes = mistakesOf(
    {
      LONGSHORE_API_PORT: '70000',
      LONGSHORE_WINDOW: '1e3',
      LONGSHORE_AUTH: 'on',
      LONGSHORE_WORKER_TYPES: 'ok,Not_Ok',
      LONGSHORE_REDIS_URL: 'http://x',
    },
    ['LONGSHORE_POSTGRES_URL'],
  );
  expect(mistakes.toSorted()).toEqual([
    'LONGSHORE_API_PORT: "70000" is not allowed; allowed: a whole number from 0 to 65535',
    'LONGSHORE_AUTH: "on" is not allowed; allowed: `keys`, `off`',
    expect.stringMatching(
      /^LONGSHORE_POSTGRES_URL: is not set; needed: a URL that starts with postgres:\/\//,
    ),
    'LONGSHORE_REDIS_URL: the value (not shown: it is secret) is not allowed; allowed: a URL that starts with redis:// or rediss://',
    'LONGSHORE_WINDOW: "1e3" is not allowed; allowed: a whole number from 1 to 100000',
    'LONGSHORE_WORKER_TYPES: "ok,Not_Ok" is not allowed; allowed: job type names, separated by commas',
  ]);
});

test('secrets are not shown', () => {
  const text = mistakesOf({
    LONGSHORE_WEBHOOK_SECRET: 'hunter2',
    LONGSHORE_POSTGRES_URL: 'mysql://u:hunter2@h/d',
  }).join('\n');
  expect(text).toContain('LONGSHORE_WEBHOOK_SECRET');
  expect(text).toContain('LONGSHORE_POSTGRES_URL');
  expect(text).not.toContain('hunter2');
});

test('an unknown variable is a mistake that names its neighbour', () => {
  expect(mistakesOf({ LONGSHORE_WORKER_CONCURENCY: '2', LONGSHORE_ZZZZZZ: 'x', PATH: '/bin' })).toEqual([
    'LONGSHORE_WORKER_CONCURENCY: there is no such variable; did you mean LONGSHORE_WORKER_CONCURRENCY?',
    'LONGSHORE_ZZZZZZ: there is no such variable',
  ]);
});

test('variables that Kubernetes sets for Services do no harm', () => {
  const config = loadConfig({
    LONGSHORE_API_SERVICE_HOST: '10.0.0.1',
    LONGSHORE_API_SERVICE_PORT_HTTP: '80',
    LONGSHORE_API_PORT: 'tcp://10.0.0.1:80',
    LONGSHORE_API_PORT_80_TCP_ADDR: '10.0.0.1',
    LONGSHORE_METRICS_PORT: 'tcp://10.0.0.2:80',
  });
  expect(config.api.port).toBe(8_080);
});

test('the provider key is read under its usual name, its own name winning', () => {
  expect(loadConfig({ ETHERSCAN_API_KEY: 'plain' }).providers.etherscanApiKey).toBe('plain');
  expect(
    loadConfig({ ETHERSCAN_API_KEY: 'plain', LONGSHORE_ETHERSCAN_API_KEY: 'own' }).providers.etherscanApiKey,
  ).toBe('own');
});

test('values that contradict each other are mistakes', () => {
  expect(
    mistakesOf({
      LONGSHORE_LEASE_SECONDS: '10',
      LONGSHORE_RENEW_SECONDS: '6',
      LONGSHORE_ELECTION_LEASE_SECONDS: '5',
    }),
  ).toEqual([
    expect.stringContaining('LONGSHORE_RENEW_SECONDS: 6 is not allowed'),
    expect.stringContaining('LONGSHORE_ELECTION_RENEW_SECONDS: 8 is not allowed'),
  ]);
  expect(
    mistakesOf({ LONGSHORE_SCALER_TLS_KEY_FILE: '/tls.key', LONGSHORE_SCALER_TLS_CA_FILE: '/ca.crt' }),
  ).toEqual([
    expect.stringContaining('LONGSHORE_SCALER_TLS_CERT_FILE: is not allowed without'),
    expect.stringContaining('LONGSHORE_SCALER_TLS_CA_FILE: is not allowed without'),
  ]);
});

test('no two variables share a name, and defaults are allowed values', () => {
  const names = listVariables().flatMap(({ facts }) => [facts.env, ...(facts.aliases ?? [])]);
  expect(new Set(names).size).toBe(names.length);
  const defaults = Object.fromEntries(listVariables().map(({ facts }) => [facts.env, facts.default ?? '']));
  expect(mistakesOf(defaults)).toEqual([]);
});

test('the committed reference is the generated one', () => {
  expect(readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')).toBe(
    renderReference(),
  );
});

test("the bot's webhook needs a secret, and its token is never shown", () => {
  const webhook = { LONGSHORE_BOT_WEBHOOK_URL: 'https://bot.example/telegram' };
  expect(mistakesOf(webhook)).toEqual([expect.stringContaining('LONGSHORE_BOT_WEBHOOK_SECRET')]);
  expect(mistakesOf({ ...webhook, LONGSHORE_BOT_WEBHOOK_SECRET: 'sixteen-letters-' })).toEqual([]);
  expect(mistakesOf({ LONGSHORE_BOT_WEBHOOK_URL: 'http://bot.example/' })).toHaveLength(1);
  const [mistake] = mistakesOf({ LONGSHORE_BOT_TOKEN: '123:short-secret' });
  expect(mistake).toContain('LONGSHORE_BOT_TOKEN');
  expect(mistake).not.toContain('short-secret');
});
