import { z } from 'zod';
import { choice, integer, list, number, text } from './variable.ts';

/** What the processes themselves are set to. */

const KUBERNETES_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const TYPE_NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const MIB = 1_048_576;

export const api = z.object({
  host: text({
    env: 'LONGSHORE_API_HOST',
    description: 'Address that the API listens on.',
    default: '0.0.0.0',
    allowed: 'an address or host name',
  }),
  port: integer(
    {
      env: 'LONGSHORE_API_PORT',
      description: 'Port that the API listens on; 0 takes a free one.',
      default: '8080',
    },
    0,
    65_535,
  ),
  auth: choice(
    {
      env: 'LONGSHORE_AUTH',
      description: '`keys`: every request needs an API key. `off`: none does; for embedded mode only.',
      default: 'keys',
    },
    ['keys', 'off'],
  ),
  adminKey: text({
    env: 'LONGSHORE_ADMIN_API_KEY',
    description: 'First API key, of scope `admin`, that `longshore migrate --admin-key` makes.',
    secret: true,
    pattern: /^lsk_[a-z0-9]{16}_[A-Za-z0-9_-]{43}$/,
    allowed: 'what `longshore api-key generate` prints',
  }),
  jsonLimitBytes: integer(
    {
      env: 'LONGSHORE_JSON_LIMIT_BYTES',
      description: 'Largest JSON body.',
      default: `${MIB}`,
      unit: 'bytes',
    },
    1_024,
    64 * MIB,
  ),
  imageLimitBytes: integer(
    {
      env: 'LONGSHORE_IMAGE_LIMIT_BYTES',
      description: 'Largest uploaded image.',
      default: `${32 * MIB}`,
      unit: 'bytes',
    },
    1_024,
    512 * MIB,
  ),
  requestTimeoutMs: integer(
    {
      env: 'LONGSHORE_REQUEST_TIMEOUT_MS',
      description: 'Deadline of a request, uploads and event streams excepted.',
      default: '10000',
      unit: 'ms',
    },
    100,
    300_000,
  ),
  keyRatePerSecond: number(
    {
      env: 'LONGSHORE_KEY_RATE_PER_SECOND',
      description: 'Requests a second that one API key may make, in each API process.',
      default: '2000',
      unit: 'requests/s',
    },
    0.1,
    1_000_000,
  ),
  keyRateBurst: integer(
    {
      env: 'LONGSHORE_KEY_BURST',
      description: 'Requests that one API key may make at once.',
      default: '4000',
      unit: 'requests',
    },
    1,
    1_000_000,
  ),
  maxInFlight: integer(
    {
      env: 'LONGSHORE_MAX_IN_FLIGHT',
      description: 'Requests under way at once in one API process; more are answered 503 with `Retry-After`.',
      default: '1000',
      unit: 'requests',
    },
    1,
    100_000,
  ),
});

export const health = z.object({
  host: text({
    env: 'LONGSHORE_HEALTH_HOST',
    description: 'Address of `/healthz`, `/readyz` and `/metrics`.',
    default: '0.0.0.0',
    allowed: 'an address or host name',
  }),
  port: integer(
    {
      env: 'LONGSHORE_HEALTH_PORT',
      description: 'Port of `/healthz`, `/readyz` and `/metrics`, of each process; 0 takes a free one.',
      default: '0',
    },
    0,
    65_535,
  ),
});

export const worker = z.object({
  types: list({
    env: 'LONGSHORE_WORKER_TYPES',
    description: 'Job types that the worker serves. Not set: all that it has handlers for.',
    default: '',
    pattern: TYPE_NAME,
    allowed: 'job type names, separated by commas',
  }),
  concurrency: integer(
    {
      env: 'LONGSHORE_WORKER_CONCURRENCY',
      description: 'Jobs of one type that a worker runs at once.',
      default: '4',
      unit: 'jobs',
    },
    1,
    1_000,
  ),
  namespace: text({
    env: 'LONGSHORE_WORKER_NAMESPACE',
    description: 'Namespace whose jobs the worker takes.',
    default: 'default',
    pattern: KUBERNETES_NAME,
    allowed: 'a namespace name',
  }),
  pool: text({
    env: 'LONGSHORE_WORKER_POOL',
    description: 'Name of the pool that the worker belongs to.',
    default: 'default',
    pattern: KUBERNETES_NAME,
    allowed: 'a pool name',
  }),
  poolSecret: text({
    env: 'LONGSHORE_WORKER_POOL_SECRET',
    description: 'Secret of the pool; the ledger serves the worker only with it.',
    secret: true,
  }),
  graceSeconds: integer(
    {
      env: 'LONGSHORE_GRACE_SECONDS',
      description: 'Time that running jobs get after SIGTERM before they are handed back.',
      default: '25',
      unit: 's',
    },
    0,
    86_400,
  ),
  leaseSeconds: integer(
    {
      env: 'LONGSHORE_LEASE_SECONDS',
      description:
        'How long a claim holds without being renewed: how soon the job of a dead worker runs again.',
      default: '30',
      unit: 's',
    },
    2,
    3_600,
  ),
  renewSeconds: integer(
    {
      env: 'LONGSHORE_RENEW_SECONDS',
      description: 'How often a worker renews its leases; at most a half of the lease.',
      default: '10',
      unit: 's',
    },
    1,
    1_800,
  ),
});

export const controller = z.object({
  window: integer(
    {
      env: 'LONGSHORE_WINDOW',
      description: 'Live QueueJobs of one namespace; further jobs wait in the ledger.',
      default: '1000',
      unit: 'jobs',
    },
    1,
    100_000,
  ),
  electionLeaseSeconds: integer(
    {
      env: 'LONGSHORE_ELECTION_LEASE_SECONDS',
      description:
        'How long a silent leader leads. Another takes over at most two tries after that: within 16 s of a crash.',
      default: '11',
      unit: 's',
    },
    2,
    300,
  ),
  electionRenewSeconds: integer(
    {
      env: 'LONGSHORE_ELECTION_RENEW_SECONDS',
      description: 'A leader that could not renew for this long stops leading; less than the lease.',
      default: '8',
      unit: 's',
    },
    1,
    299,
  ),
  electionRetrySeconds: integer(
    {
      env: 'LONGSHORE_ELECTION_RETRY_SECONDS',
      description: 'How often a leader renews and the others try to lead.',
      default: '2',
      unit: 's',
    },
    1,
    60,
  ),
});
