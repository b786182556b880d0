import { z } from 'zod';
import { choice, flag, integer, number, text, url } from './variable.ts';

/** What the processes work with: stores, cluster, providers, receivers. */

const KUBERNETES_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const POSTGRES = ['postgres', 'postgresql'] as const;

export const postgres = z.object({
  url: url(
    {
      env: 'LONGSHORE_POSTGRES_URL',
      description: 'The ledger, as API and controller log in to it.',
      secret: true,
    },
    POSTGRES,
  ),
  readUrl: url(
    {
      env: 'LONGSHORE_POSTGRES_READ_URL',
      description:
        'A read replica of the ledger, for the API to read meters and their readings from. Not set, or while it does not answer: the ledger itself.',
      secret: true,
    },
    POSTGRES,
  ),
  workerUrl: url(
    {
      env: 'LONGSHORE_WORKER_POSTGRES_URL',
      description:
        'The ledger, as workers log in to it: a role that may execute the job functions and nothing else.',
      secret: true,
    },
    POSTGRES,
  ),
  migrateUrl: url(
    {
      env: 'LONGSHORE_MIGRATE_POSTGRES_URL',
      description: 'The ledger, as `longshore migrate` logs in to it: the owner of the schema.',
      secret: true,
    },
    POSTGRES,
  ),
  poolSize: integer(
    {
      env: 'LONGSHORE_POSTGRES_POOL_SIZE',
      description: 'Connections that one API or controller process opens at most.',
      default: '10',
    },
    1,
    200,
  ),
});

export const redis = z.object({
  url: url(
    {
      env: 'LONGSHORE_REDIS_URL',
      description: 'The queue and the status cache. Its `maxmemory-policy` must be `noeviction`.',
      secret: true,
    },
    ['redis', 'rediss'],
  ),
  prefix: text({
    env: 'LONGSHORE_REDIS_PREFIX',
    description: 'What every key starts with.',
    default: 'longshore',
    pattern: /^[a-z0-9_-]{1,40}$/,
    allowed: '1 to 40 lower-case letters, digits, `-` and `_`',
  }),
});

export const kubernetes = z.object({
  mode: choice(
    {
      env: 'LONGSHORE_KUBERNETES',
      description: '`on`: jobs become QueueJobs of a cluster. `off`: the same code without a cluster.',
      default: 'off',
    },
    ['off', 'on'],
  ),
  kubeconfig: text({
    env: 'LONGSHORE_KUBECONFIG',
    description:
      'File that says how to reach the cluster. Not set: the service account of the pod, or the usual places.',
    allowed: 'a path',
  }),
  podName: text({
    env: 'LONGSHORE_POD_NAME',
    description: 'Name of this pod; it names the holder of the election lease. Not set: the host name.',
    pattern: /^[a-z0-9][-.a-z0-9]{0,252}$/,
    allowed: 'a pod name',
  }),
  podNamespace: text({
    env: 'LONGSHORE_POD_NAMESPACE',
    description: 'Namespace of this pod: it holds the election lease.',
    default: 'default',
    pattern: KUBERNETES_NAME,
    allowed: 'a namespace name',
  }),
});

export const webhooks = z.object({
  allowPrivate: flag({
    env: 'LONGSHORE_WEBHOOK_ALLOW_PRIVATE',
    description: 'Whether webhooks may go to private, loopback and link-local addresses.',
    default: 'false',
  }),
  secret: text({
    env: 'LONGSHORE_WEBHOOK_SECRET',
    description:
      'Key of the HMAC-SHA256 signature of webhooks; of API and controller. Not set: jobs with a webhook are refused.',
    secret: true,
    pattern: /^.{16,}$/s,
    allowed: 'at least 16 characters',
  }),
});

export const providers = z.object({
  etherscanUrl: url(
    {
      env: 'LONGSHORE_ETHERSCAN_URL',
      description: 'Etherscan API v2.',
      default: 'https://api.etherscan.io/v2/api',
    },
    ['https', 'http'],
  ),
  etherscanApiKey: text({
    env: 'LONGSHORE_ETHERSCAN_API_KEY',
    aliases: ['ETHERSCAN_API_KEY'],
    description: 'API key for Etherscan.',
    secret: true,
  }),
  etherscanCallsPerSecond: number(
    {
      env: 'LONGSHORE_ETHERSCAN_CALLS_PER_SECOND',
      description: 'Calls a second over all workers; 0 is no limit.',
      default: '3',
      unit: 'calls/s',
    },
    0,
    100_000,
  ),
  etherscanCallsPerDay: integer(
    {
      env: 'LONGSHORE_ETHERSCAN_CALLS_PER_DAY',
      description: 'Calls a day (UTC) over all workers; 0 is no limit.',
      default: '100000',
      unit: 'calls/day',
    },
    0,
    1_000_000_000,
  ),
  sourcifyUrl: url(
    {
      env: 'LONGSHORE_SOURCIFY_URL',
      description: 'Sourcify API v2, the other source of contracts.',
      default: 'https://sourcify.dev/server',
    },
    ['https', 'http'],
  ),
  binanceUrl: url(
    {
      env: 'LONGSHORE_BINANCE_URL',
      description: 'Binance, spot API, for exchange rates.',
      default: 'https://api.binance.com',
    },
    ['https', 'http'],
  ),
  binanceWeightPerMinute: integer(
    {
      env: 'LONGSHORE_BINANCE_WEIGHT_PER_MINUTE',
      description: 'What calls to Binance may weigh in a minute over all workers; 0 is no limit.',
      default: '6000',
      unit: 'weight/min',
    },
    0,
    10_000_000,
  ),
  coingeckoUrl: url(
    {
      env: 'LONGSHORE_COINGECKO_URL',
      description: 'CoinGecko API v3, for exchange rates.',
      default: 'https://api.coingecko.com/api/v3',
    },
    ['https', 'http'],
  ),
  coingeckoApiKey: text({
    env: 'LONGSHORE_COINGECKO_API_KEY',
    aliases: ['COINGECKO_API_KEY'],
    description: 'API key for CoinGecko (demo plan). Not set: without one.',
    secret: true,
  }),
  coingeckoCallsPerMinute: integer(
    {
      env: 'LONGSHORE_COINGECKO_CALLS_PER_MINUTE',
      description: 'Calls a minute over all workers; 0 is no limit.',
      default: '30',
      unit: 'calls/min',
    },
    0,
    1_000_000,
  ),
  coingeckoCallsPerMonth: integer(
    {
      env: 'LONGSHORE_COINGECKO_CALLS_PER_MONTH',
      description: 'Calls a month (UTC) over all workers; 0 is no limit.',
      default: '10000',
      unit: 'calls/month',
    },
    0,
    1_000_000_000,
  ),
});

export const log = z.object({
  level: choice({ env: 'LONGSHORE_LOG_LEVEL', description: 'Least level that is logged.', default: 'info' }, [
    'debug',
    'info',
    'warn',
    'error',
    'silent',
  ]),
});

export const retention = z.object({
  jobDays: integer(
    {
      env: 'LONGSHORE_JOB_RETENTION_DAYS',
      description: 'How long the ledger keeps finished jobs.',
      default: '30',
      unit: 'days',
    },
    1,
    3_650,
  ),
  blobDays: integer(
    {
      env: 'LONGSHORE_BLOB_RETENTION_DAYS',
      description: 'How long the ledger keeps the blobs of finished jobs.',
      default: '7',
      unit: 'days',
    },
    1,
    3_650,
  ),
  rateDays: integer(
    {
      env: 'LONGSHORE_RATE_RETENTION_DAYS',
      description: 'How long each single exchange rate is kept.',
      default: '2',
      unit: 'days',
    },
    1,
    3_650,
  ),
  rateMinuteDays: integer(
    {
      env: 'LONGSHORE_RATE_MINUTE_RETENTION_DAYS',
      description: 'How long the roll-up of exchange rates by minute is kept.',
      default: '30',
      unit: 'days',
    },
    1,
    3_650,
  ),
  rateHourDays: integer(
    {
      env: 'LONGSHORE_RATE_HOUR_RETENTION_DAYS',
      description: 'How long the roll-up by hour is kept; that by day is kept for ever.',
      default: '730',
      unit: 'days',
    },
    1,
    36_500,
  ),
});
