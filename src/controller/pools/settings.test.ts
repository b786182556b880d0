import { expect, test } from 'vitest';
import { type PoolSurroundings, readPoolSettings } from './settings.ts';

const SURROUNDINGS: PoolSurroundings = {
  postgresUrl: 'postgres://worker@db/longshore',
  redis: { url: 'redis://redis', prefix: 'longshore' },
  scalerAddress: '',
  scalerAuthentication: '',
  scalerCaFile: '',
  podNamespace: 'system',
  egressPorts: ['443'],
  networkPolicy: true,
  monitorLabels: ['release=prometheus', 'a=b'],
  worker: { leaseSeconds: 30, renewSeconds: 10 },
  providers: {
    etherscanUrl: 'http://fake:8090/api',
    etherscanCallsPerSecond: 3,
    etherscanCallsPerDay: 100,
    sourcifyUrl: 'https://sourcify.dev/server',
    binanceUrl: 'http://exchange:8091',
    binanceWeightPerMinute: 6_000,
    coingeckoUrl: 'https://api.coingecko.com/api/v3',
    coingeckoCallsPerMinute: 30,
    coingeckoCallsPerMonth: 10_000,
  },
  logLevel: 'info',
};

test('workers may call what the controller knows of, and no more', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  const settings = await readPoolSettings(SURROUNDINGS, env);
  expect(settings.egressPorts).toEqual([443, 4_318, 8_090, 8_091]);
});

test('they share tracing and limits with the controller, and none of its secrets', async () => {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=secret',
    OTEL_SERVICE_NAME: 'controller',
    LONGSHORE_POSTGRES_URL: 'postgres://owner:secret@db/longshore',
  };
  const settings = await readPoolSettings(SURROUNDINGS, env);
  expect(settings.env).toMatchObject({
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
    LONGSHORE_LEASE_SECONDS: '30',
    LONGSHORE_ETHERSCAN_URL: 'http://fake:8090/api',
    LONGSHORE_BINANCE_URL: 'http://exchange:8091',
    LONGSHORE_COINGECKO_CALLS_PER_MONTH: '10000',
  });
  expect(JSON.stringify(settings)).not.toContain('secret');
  expect(settings.env).not.toHaveProperty('OTEL_SERVICE_NAME');
});

test('what is not set is null, or what is usual', async () => {
  expect(await readPoolSettings(SURROUNDINGS, {})).toMatchObject({
    scalerAddress: 'longshore-scaler.system.svc:9091',
    scalerAuthentication: null,
    scalerCa: null,
    monitorLabels: { release: 'prometheus', a: 'b' },
  });
});

test('a certificate that cannot be read is an error that names the file', async () => {
  await expect(readPoolSettings({ ...SURROUNDINGS, scalerCaFile: '/no/such/file' }, {})).rejects.toThrow(
    '/no/such/file',
  );
});
