import { readFile } from 'node:fs/promises';
import { portOf } from '../../core/pool-manifests/network-policy.ts';
import type { PoolSettings } from '../../core/pool-manifests/settings.ts';

/** The settings of the process from which those of pools follow. */
export interface PoolSurroundings {
  postgresUrl: string;
  redis: { url: string; prefix: string };
  /** `host:port`; empty: the usual Service of this namespace. */
  scalerAddress: string;
  scalerAuthentication: string;
  /** PEM file with what KEDA is to trust; empty: it speaks plain text. */
  scalerCaFile: string;
  podNamespace: string;
  egressPorts: readonly string[];
  networkPolicy: boolean;
  /** `name=value` each. */
  monitorLabels: readonly string[];
  worker: { leaseSeconds: number; renewSeconds: number };
  providers: {
    etherscanUrl: string;
    etherscanCallsPerSecond: number;
    etherscanCallsPerDay: number;
    sourcifyUrl: string;
    binanceUrl: string;
    binanceWeightPerMinute: number;
    coingeckoUrl: string;
    coingeckoCallsPerMinute: number;
    coingeckoCallsPerMonth: number;
  };
  logLevel: string;
}

/** Variables of OpenTelemetry that workers share with the controller, so that one trace spans both. */
const SHARED =
  /^OTEL_(EXPORTER_OTLP_(ENDPOINT|PROTOCOL|TRACES_ENDPOINT|TRACES_PROTOCOL)|TRACES_SAMPLER(_ARG)?)$/;

const USUAL_SCALER_PORT = 9_091;

/** What the manifests of all pools have in common. The certificate is read each time: it may have been renewed. */
export async function readPoolSettings(
  from: PoolSurroundings,
  env: Readonly<Record<string, string | undefined>>,
): Promise<PoolSettings> {
  const { providers, worker, scalerCaFile } = from;
  const shared = Object.entries(env).flatMap(([name, value]) =>
    SHARED.test(name) && value !== undefined && value !== '' ? [[name, value] as const] : [],
  );
  const { etherscanUrl, sourcifyUrl, binanceUrl, coingeckoUrl } = providers;
  const urls = [etherscanUrl, sourcifyUrl, binanceUrl, coingeckoUrl, ...shared.map(([, value]) => value)];
  const ports = [...from.egressPorts.map(Number), ...urls.map(portOf)].filter((port) => port !== null);
  return {
    workerPostgresUrl: from.postgresUrl,
    redisUrl: from.redis.url,
    redisPrefix: from.redis.prefix,
    scalerAddress: from.scalerAddress || `longshore-scaler.${from.podNamespace}.svc:${USUAL_SCALER_PORT}`,
    scalerAuthentication: from.scalerAuthentication || null,
    scalerCa: scalerCaFile === '' ? null : await readFile(scalerCaFile, 'utf8'),
    env: {
      LONGSHORE_LOG_LEVEL: from.logLevel,
      LONGSHORE_LEASE_SECONDS: String(worker.leaseSeconds),
      LONGSHORE_RENEW_SECONDS: String(worker.renewSeconds),
      LONGSHORE_ETHERSCAN_URL: etherscanUrl,
      LONGSHORE_ETHERSCAN_CALLS_PER_SECOND: String(providers.etherscanCallsPerSecond),
      LONGSHORE_ETHERSCAN_CALLS_PER_DAY: String(providers.etherscanCallsPerDay),
      LONGSHORE_SOURCIFY_URL: sourcifyUrl,
      LONGSHORE_BINANCE_URL: binanceUrl,
      LONGSHORE_BINANCE_WEIGHT_PER_MINUTE: String(providers.binanceWeightPerMinute),
      LONGSHORE_COINGECKO_URL: coingeckoUrl,
      LONGSHORE_COINGECKO_CALLS_PER_MINUTE: String(providers.coingeckoCallsPerMinute),
      LONGSHORE_COINGECKO_CALLS_PER_MONTH: String(providers.coingeckoCallsPerMonth),
      ...Object.fromEntries(shared),
    },
    egressPorts: [...new Set(ports)].sort((a, b) => a - b),
    networkPolicy: from.networkPolicy,
    monitorLabels: Object.fromEntries(from.monitorLabels.map((label) => label.split('=', 2))),
  };
}
