/**
 * The ledger with many jobs (10 million unless `JOBS` says otherwise): every filter's first, middle and last page, and
 * accepting, before and after. Fills a PostgreSQL of its own; takes about half an hour and 20 GB for 10 million.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../hack/services/postgres.ts';
import { silentLogger } from '../src/core/logger.ts';
import { acceptJobs } from '../src/ledger/accept.ts';
import { connectDatabase, type Database } from '../src/ledger/database.ts';
import { type JobFilter, listJobs } from '../src/ledger/jobs.ts';
import { migrate } from '../src/ledger/migrate.ts';
import { newJob } from '../test/support/ledger.ts';
import { ms, quantile, report } from './support.ts';

const JOBS = Number(process.env.JOBS ?? 10_000_000);
const BATCH = 100_000;
const DAYS = 28;
const STATUSES = ['SUCCESS', 'ERROR', 'CANCELLED', 'CREATED'] as const;

const dataDir = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'longshore-bench-'));
chmodSync(dataDir, 0o755);
const postgres = await startPostgres({ dataDir });
const db = connectDatabase({
  url: postgres.url,
  applicationName: 'bench',
  statementTimeoutMs: 600_000,
  logger: silentLogger,
});
try {
  await migrate(postgres.url, silentLogger);
  await db.query(`select ensure_partitions(now() - interval '${DAYS + 7} days', now() + interval '14 days')`);
  const empty = await acceptLatency(db);
  for (let n = 0; n < JOBS; n += BATCH) {
    await fill(db, n, Math.min(BATCH, JOBS - n));
    if (n % 1_000_000 === 0) console.error(`${n.toLocaleString('en')} of ${JOBS.toLocaleString('en')} jobs`);
  }
  await db.query('vacuum analyze');
  const figures: Record<string, string> = {};
  const slowest: number[] = [];
  for (const [name, filter] of filters()) {
    const times = await pages(db, filter);
    slowest.push(Math.max(...times));
    figures[`page of ${name} (first … after a million)`] = times.map(ms).join(' · ');
  }
  const full = await acceptLatency(db);
  report('ledger', {
    jobs: JOBS,
    ...figures,
    'slowest page': ms(Math.max(...slowest)),
    'accepting 10 jobs, empty: p50 · p99': `${ms(quantile(empty, 0.5))} · ${ms(quantile(empty, 0.99))}`,
    'accepting 10 jobs, full: p50 · p99': `${ms(quantile(full, 0.5))} · ${ms(quantile(full, 0.99))}`,
  });
} finally {
  await db.end();
  await postgres.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

/** Jobs as they look in the end, spread over the days: mostly successes, one in 100 failed, one in 10 labelled. */
async function fill(pool: Database, from: number, count: number): Promise<void> {
  await pool.query(
    `with made as (
       select n, (now() - interval '${DAYS} days' * (1 - n::double precision / ${JOBS})) as at from generate_series($1::integer, $1::integer + $2::integer - 1) n
     ), ids as (
       select n, at, (left(uuid_floor(at)::text, 15) || lpad(to_hex(n % 4096), 3, '0') || '-8' || substr(md5(n::text), 1, 3) || '-' || substr(md5(n::text), 4, 12))::uuid as id from made
     ), inserted as (
       insert into jobs (id, namespace, type, status, labels, input, timeout_seconds, retries, backoff_base_ms, backoff_max_ms, ttl_seconds,
         run_at, accepted_at, finished_at)
       select id, case when n % 10 = 0 then 'tenant' else 'default' end, (array['contract-source', 'image-convert', 'rare'])[case when n % 1000 = 0 then 3 when n % 3 = 0 then 2 else 1 end],
         case when n % 100 = 0 then 'ERROR' when n % 1003 = 0 then 'CANCELLED' else 'SUCCESS' end,
         case when n % 10 = 1 then jsonb_build_object('team', 'team-' || n % 7) end,
         '{"address":"0x0000000000000000000000000000000000000000"}', 60, 3, 1000, 60000, 3600, at, at, at + interval '1 second'
       from ids on conflict do nothing returning id, namespace, labels, finished_at
     ), labelled as (
       insert into job_labels select namespace, l.key, l.value, id from inserted, jsonb_each_text(labels) l on conflict do nothing
     )
     insert into events (job_id, seq, type) select id, s, (array['accepted', 'started', 'succeeded'])[s] from inserted, generate_series(1, 3) s`,
    [from, count],
  );
}

function filters(): [string, JobFilter][] {
  const namespace = 'default';
  return [
    ['all', { namespace }],
    ['another namespace', { namespace: 'tenant' }],
    ['an empty namespace', { namespace: 'nobody' }],
    ...['contract-source', 'image-convert', 'rare', 'absent'].map((type): [string, JobFilter] => [
      `type ${type}`,
      { namespace, type },
    ]),
    ...STATUSES.map((status): [string, JobFilter] => [`status ${status}`, { namespace, status }]),
    ...STATUSES.map((status): [string, JobFilter] => [
      `type rare, status ${status}`,
      { namespace, type: 'rare', status },
    ]),
    ['label', { namespace, label: { key: 'team', value: 'team-1' } }],
    ['label nobody has', { namespace, label: { key: 'team', value: 'none' } }],
    ['label, status ERROR', { namespace, label: { key: 'team', value: 'team-1' }, status: 'ERROR' }],
    ['label, type rare', { namespace, label: { key: 'team', value: 'team-1' }, type: 'rare' }],
    ['resource nobody applied', { namespace, resource: { namespace, name: 'none' } }],
  ];
}

/** Milliseconds of a page at the start, and deeper and deeper. */
async function pages(pool: Database, filter: JobFilter): Promise<number[]> {
  const times: number[] = [];
  for (const share of [1, 0.75, 0.5, 0.1]) {
    const { rows } = await pool.query<{ id: string }>('select uuid_floor(now() - $1 * $2::interval) as id', [
      1 - share,
      `${DAYS} days`,
    ]);
    const beforeId = share === 1 ? null : (rows[0]?.id ?? null);
    const startedAtMs = performance.now();
    await listJobs(pool, filter, { limit: 100, beforeId });
    times.push(performance.now() - startedAtMs);
  }
  return times;
}

async function acceptLatency(pool: Database): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < 500; n += 1) {
    const startedAtMs = performance.now();
    await acceptJobs(
      pool,
      Array.from({ length: 10 }, () => newJob()),
    );
    times.push(performance.now() - startedAtMs);
  }
  return times;
}
