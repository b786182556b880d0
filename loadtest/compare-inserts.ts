import pg from 'pg';

const SECONDS = 5;

/** How many rows a second the same table takes, each durable by itself: one INSERT a request, against shared ones. */
export async function compareInserts(url: string): Promise<Record<string, string>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    'create table if not exists public.readings_compared (like longshore.meter_readings including all)',
  );
  await client.end();
  const figures = {
    'one INSERT a request, one connection': await insertOneByOne(url, 1),
    'one INSERT a request, ten connections': await insertOneByOne(url, 10),
    'shared INSERTs of 200, two connections': await insertShared(url, 2, 200),
  };
  return Object.fromEntries(
    Object.entries(figures).map(([what, rate]) => [what, `${Math.round(rate)} rows/s`]),
  );
}

const COLUMNS = 'id, day, namespace, meter_id, zone, value, read_at, source, batch_id';

function insertOneByOne(url: string, connections: number): Promise<number> {
  return during(url, connections, 1, {
    name: 'one',
    text: `insert into public.readings_compared (${COLUMNS})
      values (gen_random_uuid(), '2026-10-20', 'default', $1, 'total', $2, now(), 'api', gen_random_uuid())`,
    values: [`METER-${Math.floor(Math.random() * 100_000)}`, 1],
  });
}

function insertShared(url: string, connections: number, rows: number): Promise<number> {
  return during(url, connections, rows, {
    name: 'shared',
    text: `insert into public.readings_compared (${COLUMNS})
      select gen_random_uuid(), '2026-10-20', 'default', m, 'total', 1, now(), 'api', gen_random_uuid() from unnest($1::text[]) m`,
    values: [Array.from({ length: rows }, (_, n) => `METER-${n}`)],
  });
}

/** Rows a second of a statement that is repeated on each connection. */
async function during(
  url: string,
  connections: number,
  rows: number,
  query: pg.QueryConfig,
): Promise<number> {
  const until = performance.now() + SECONDS * 1_000;
  const counts = await Promise.all(
    Array.from({ length: connections }, async () => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      let done = 0;
      while (performance.now() < until) {
        await client.query(query);
        done += rows;
      }
      await client.end();
      return done;
    }),
  );
  return counts.reduce((sum, done) => sum + done, 0) / SECONDS;
}
