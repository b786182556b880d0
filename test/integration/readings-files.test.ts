import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { importReadings } from '../../src/api/reading-import.ts';
import { getReadingImport } from '../../src/ledger/reading-imports.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { countReadings, seedMeters, windowDay } from '../support/readings.ts';
import { waitFor } from '../support/wait-for.ts';

let ledger: TestLedger;
let api: TestApi;
let folder: string;

beforeAll(async () => {
  ledger = await createTestLedger(['meter-readings']);
  await seedMeters(ledger.db, 20_000);
  api = await startTestApi(ledger);
  folder = await mkdtemp(join(tmpdir(), 'longshore-csv-'));
});
afterAll(async () => {
  await api.stop();
  await ledger.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await ledger.db.query(
    'truncate meter_readings, meter_reading_batches, meter_reading_imports, meter_reading_import_refusals',
  );
});

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely
type Json = any;
const day = windowDay();
const rows = (count: number, value = 5) =>
  Array.from({ length: count }, (_, n) => `M-${n + 1},${value},${day}\n`).join('');
const HEADER = 'meterId,value,readAt\n';

const put = (name: string, body: string | Buffer, query = '', type = 'text/csv') =>
  api.call(`/v1/meter-reading-imports/${name}${query}`, {
    method: 'PUT',
    body,
    headers: { 'Content-Type': type },
  });

async function imported(name: string, body: string | Buffer): Promise<Json> {
  const answer = await put(name, body);
  expect(answer.status).toBe(200);
  return answer.json();
}

describe('over REST', () => {
  test('a file is stored, and sent again it changes nothing', async () => {
    expect(await imported('november.csv', HEADER + rows(20_000))).toMatchObject({
      name: 'november.csv',
      state: 'done',
      stored: 20_000,
      existing: 0,
      refused: 0,
      lines: 20_001,
    });
    expect(await imported('november.csv', HEADER + rows(20_000))).toMatchObject({
      stored: 0,
      existing: 20_000,
    });
    const { rows: batches } = await ledger.db.query(
      'select max(readings)::integer as most, sum(readings)::integer as sum from meter_reading_batches',
    );
    expect(batches[0]).toEqual({ most: 1_000, sum: 20_000 });
  });

  test('rows that are refused are told with their lines, and the others are stored', async () => {
    const year = new Date().getUTCFullYear() + 1;
    const bad = [
      'nobody,5',
      'M-1,-5',
      'M-1,1.5',
      `M-1,${'9'.repeat(40)}`,
      'M-1,',
      'M-1,1e3',
      'M-1,NaN',
      'M-1,1000000',
    ];
    const times = [`${year}-01-20`, '1999-01-20', '2026-02-31', 'yesterday', '2026-02-31T00:00:00Z', ''];
    const text = [
      ...bad.map((row) => `${row},${day}`),
      ...times.map((time) => `M-1,5,${time}`),
      `"M-1,5,${day}`,
      'M-1,5',
      `M-1,5,${day},x`,
      `K\u00fcche,5,${day}`,
      `=cmd|' /C calc'!A0,5,${day}`,
    ];
    const count = text.length;
    const body = `${HEADER}${text.join('\n')}\nM-2,7,${day}\n`;
    expect(await imported('bad.csv', body)).toMatchObject({ stored: 1, refused: count, state: 'done' });
    const { refused, refusals } = (await (
      await api.call('/v1/meter-reading-imports/bad.csv/refusals')
    ).json()) as Json;
    expect(refused).toBe(count);
    expect(refusals.map(({ line }: Json) => line)).toEqual(Array.from({ length: count }, (_, n) => n + 2));
    expect(refusals[0]).toEqual({ line: 2, code: 'UnknownMeter', detail: 'There is no such meter' });
    expect(refusals.at(-5)).toEqual({ line: count - 3, code: 'BadRow', detail: 'The quotes do not match' });
    expect((await countReadings(ledger.db)).readings).toBe(1);
  });

  test.each([
    [
      'the wrong columns',
      'meter,value\nM-1,5\n',
      /WrongColumns: The first line must name the columns "meterId"/,
    ],
    ['nothing in it', '', /WrongColumns: The file is empty/],
    ['the wrong encoding', Buffer.from(HEADER + rows(3), 'utf16le'), /WrongEncoding/],
    ['no line ends', 'x'.repeat(500_000), /LineTooLong/],
  ])('a file with %s is refused and leaves no reading behind', async (_what, body, detail) => {
    const answer = await put('wrong.csv', body);
    const problem = (await answer.json()) as Json;
    expect([answer.status, problem.code]).toEqual([400, 'InvalidInput']);
    expect(problem.detail).toMatch(detail);
    expect((await countReadings(ledger.db)).readings).toBe(0);
    expect(await getReadingImport(ledger.db, 'default', 'wrong.csv')).toMatchObject({ state: 'failed' });
  });

  test('of a file that is cut off in the middle of a line, that line is not guessed at', async () => {
    const done = await imported('cut.csv', `${HEADER}M-1,12,${day}\nM-2,123,2026-1`);
    expect(done).toMatchObject({ stored: 1, refused: 1 });
    const last = await imported('cut2.csv', `readAt,meterId,value\n${day},M-3,12`);
    expect(last).toMatchObject({ stored: 0, refused: 1 });
  });

  test('an import that broke off goes on at the byte that it says', async () => {
    const text = HEADER + rows(20_000);
    const controller = new AbortController();
    async function* half(): AsyncGenerator<Buffer> {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length / 2; at += 65_536) yield bytes.subarray(at, at + 65_536);
      throw new Error('the line went dead');
    }
    const options = {
      db: ledger.db,
      namespace: 'default',
      name: 'big.csv',
      timeZone: 'UTC',
      nowMs: Date.now(),
    };
    await expect(
      importReadings({ ...options, content: half(), resume: null, signal: controller.signal }),
    ).rejects.toThrow();
    const { bytes, stored, state } = (await (
      await api.call('/v1/meter-reading-imports/big.csv')
    ).json()) as Json;
    expect(state).toBe('running');
    expect(stored).toBeGreaterThan(1_000);
    expect((await put('big.csv', text.slice(bytes), `?offset=${bytes + 1}`)).status).toBe(400);
    const answer = await put('big.csv', text.slice(bytes), `?offset=${bytes}`);
    expect(await answer.json()).toMatchObject({ state: 'done', stored: 20_000, existing: 0, lines: 20_001 });
  });

  test('of two runs of one name the later one goes on, and the earlier one stops', async () => {
    const release = Promise.withResolvers<void>();
    async function* slowly(): AsyncGenerator<Buffer> {
      yield Buffer.from(HEADER + rows(20_000, 1));
      await release.promise;
      yield Buffer.from(rows(10_000, 2));
    }
    const first = importReadings({
      ...{ db: ledger.db, namespace: 'default', name: 'twice.csv', timeZone: 'UTC', nowMs: Date.now() },
      ...{ content: slowly(), resume: null },
    });
    await waitFor(
      async () => (await getReadingImport(ledger.db, 'default', 'twice.csv'))?.stored,
      (stored) => (stored ?? 0) > 0,
      { describe: 'the first run to have stored something' },
    );
    expect(await imported('twice.csv', HEADER + rows(10, 3))).toMatchObject({ stored: 10, lines: 11 });
    release.resolve();
    await expect(first).rejects.toMatchObject({ code: 'ImportTakenOver' });
    expect(await getReadingImport(ledger.db, 'default', 'twice.csv')).toMatchObject({
      ...{ state: 'done', stored: 10, lines: 11 },
    });
  });

  test('what is no CSV by its type or name, and what is not there', async () => {
    expect((await put('a.csv', '{}', '', 'application/json')).status).toBe(415);
    expect((await put('..%2Fa.csv', HEADER)).status).toBe(400);
    expect((await put('new.csv', HEADER, '?offset=10')).status).toBe(400);
    expect((await api.call('/v1/meter-reading-imports/nothing')).status).toBe(404);
    expect((await api.call('/v1/meter-reading-imports/nothing/refusals')).status).toBe(404);
  });

  test('a month is exported, and what was exported can be imported again', async () => {
    await imported('a.csv', HEADER + rows(5_000));
    const answer = await api.call(`/v1/meter-readings:export?month=${day.slice(0, 7)}`);
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const lines = (await answer.text()).trimEnd().split('\n');
    expect(lines).toHaveLength(5_001);
    const few = lines.map((line) => `${line.split(',').slice(0, 5).join(',')}\n`).join('');
    expect(await imported('b.csv', few)).toMatchObject({ stored: 0, existing: 5_000 });
    expect((await api.call('/v1/meter-readings:export')).status).toBe(400);
    expect((await api.call('/v1/meter-readings:export?month=2020-01')).status).toBe(200);
  });
});

test('a million bad rows: all are counted, the first are kept, and memory stays as it was', async () => {
  const block = Buffer.from('nobody,x,y\n'.repeat(10_000));
  async function* content(): AsyncGenerator<Buffer> {
    yield Buffer.from(HEADER);
    for (let n = 0; n < 100; n += 1) yield block;
  }
  // What the first quarter of the file holds is all that the rest needs.
  const held = { early: 0, late: 0 };
  let lookAt = 0;
  const done = await importReadings({
    ...{
      db: ledger.db,
      namespace: 'default',
      name: 'million.csv',
      resume: null,
      timeZone: 'UTC',
      nowMs: Date.now(),
    },
    content: content(),
    onProgress: ({ lines }) => {
      if (lines < lookAt) return;
      lookAt = lines + 50_000;
      const part = lines < 250_000 ? 'early' : 'late';
      held[part] = Math.max(held[part], heldBytes());
    },
  });
  expect(done).toMatchObject({ refused: 1_000_000, stored: 0, state: 'done' });
  const { rows: kept } = await ledger.db.query(
    'select count(*)::integer as n, max(line)::integer as last from meter_reading_import_refusals',
  );
  expect(kept[0]).toEqual({ n: 10_000, last: 10_001 });
  expect(held.late - held.early).toBeLessThan(10_000_000);
  expect(held.late).toBeGreaterThan(0);
}, 300_000);

async function written(name: string, text: string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, text);
  return file;
}

describe('the command line', () => {
  const cli = join(import.meta.dirname, '../../src/cli/main.ts');
  const env = () => ({ ...process.env, LONGSHORE_POSTGRES_URL: ledger.url, LONGSHORE_LOG_LEVEL: 'error' });
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [cli, 'readings', ...args], { env: env(), maxBuffer: 1e8 }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
        code,
        stdout: stdout + stderr,
      }),
    );

  test('customers, meters and tariffs, with a report of what was refused', async () => {
    const files = {
      customers: 'id,name\nC-1,Жанна\n../x,Nobody\n',
      tariffs:
        'name,validFrom,price,currency,zone\nhome,2026-01-01,5.5,UAH,day\nhome,2026-01-01,1e3,UAH,day\n',
      meters:
        'id,customerId,tariff,zones,digits\nX-1,C-1,home,day night,5\nX-2,C-1,home,,\nX-3,C-1,home,,12\n',
    };
    for (const [kind, text] of Object.entries(files)) {
      const file = join(folder, `${kind}.csv`);
      await writeFile(file, text);
      const done = await run('import', kind, file);
      expect(done.code).toBe(1);
      expect(done.stdout).toContain('refused 1 rows');
      expect((await readFile(`${file}.refused.csv`, 'utf8')).split('\n')).toHaveLength(3);
    }
    const { rows: meters } = await ledger.db.query(
      `select id, zones, digits from meters where id like 'X-%' order by id`,
    );
    expect(meters).toEqual([
      { id: 'X-1', zones: ['day', 'night'], digits: 5 },
      { id: 'X-2', zones: ['total'], digits: 6 },
    ]);
  });

  test('a name that is not UTF-8 takes the place of none', async () => {
    const file = join(folder, 'latin.csv');
    await writeFile(file, 'id,name\nC-7,Jürgen\n');
    expect((await run('import', 'customers', file)).code).toBe(0);
    await writeFile(file, Buffer.from('id,name\nC-7,Jürgen\n', 'latin1'));
    expect((await run('import', 'customers', file)).code).toBe(1);
    expect(await readFile(`${file}.refused.csv`, 'utf8')).toBe(
      'line,code,detail\n2,BadRow,It is not UTF-8\n',
    );
    const { rows: customers } = await ledger.db.query(`select name from customers where id = 'C-7'`);
    expect(customers).toEqual([{ name: 'Jürgen' }]);
  });

  test('a meter of nobody and one without a tariff are refused', async () => {
    const file = join(folder, 'lost.csv');
    await writeFile(file, 'id,customerId,tariff\nY-1,nobody,home\nY-2,C-7,hmoe\nY-3,C-7,home\n');
    expect((await run('import', 'customers', await written('c7.csv', 'id,name\nC-7,Jürgen\n'))).code).toBe(0);
    expect((await run('import', 'meters', file)).stdout).toContain('Wrote 1 rows, refused 2 rows');
    expect((await readFile(`${file}.refused.csv`, 'utf8')).split('\n').slice(1, 3)).toEqual([
      '2,UnknownCustomer,There is no customer nobody: import customers first',
      '3,UnknownTariff,There is no tariff hmoe: import tariffs first',
    ]);
  });

  test('another file of the name of one that broke off is read from its beginning', async () => {
    const content = (async function* () {
      yield Buffer.from(HEADER + rows(15_000, 1));
      throw new Error('the line went dead');
    })();
    const options = { db: ledger.db, namespace: 'default', name: 'same.csv', timeZone: 'UTC' };
    await expect(
      importReadings({ ...options, nowMs: Date.now(), content, resume: null, headSha256: 'another' }),
    ).rejects.toThrow('the line went dead');
    expect((await getReadingImport(ledger.db, 'default', 'same.csv'))?.bytes).toBeGreaterThan(0);
    const done = await run('import', 'readings', await written('same.csv', HEADER + rows(20_000, 2)));
    expect(done.stdout).toContain('Stored 20000 readings, 0 were there already');
  });

  test('a run that is killed goes on with the next line, and the report has each refused row once', async () => {
    const file = join(folder, 'killed.csv');
    const bad = ['bad,row\n', `nobody,1,${day}\n`];
    const lines = Array.from({ length: 120_000 }, (_, n) =>
      n % 100 === 0 ? bad[(n / 100) % 2] : `M-${(n % 20_000) + 1},${n},${day}\n`,
    );
    await writeFile(file, HEADER + lines.join(''));
    const child = spawn(process.execPath, [cli, 'readings', 'import', 'readings', file], {
      env: env(),
      stdio: 'ignore',
    });
    await waitFor(
      async () => ((await getReadingImport(ledger.db, 'default', 'killed.csv'))?.lines ?? 0) > 20_000,
      {
        describe: 'the import to be under way',
      },
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    const broken = await getReadingImport(ledger.db, 'default', 'killed.csv');
    expect(broken?.state).toBe('running');
    const done = await run('import', 'readings', file);
    expect(done.stdout).toContain('Going on after line');
    expect(done.stdout).toContain('Stored 118800 readings, 0 were there already, refused 1200 rows');
    const report = (await readFile(`${file}.refused.csv`, 'utf8')).trimEnd().split('\n').slice(1);
    expect(report.map((line) => Number.parseInt(line, 10))).toEqual(
      Array.from({ length: 1_200 }, (_, n) => n * 100 + 2),
    );
    expect((await countReadings(ledger.db)).readings).toBe(118_800);
  }, 60_000);

  test('seed, export, and mistakes of the caller', async () => {
    expect((await run('seed', '--customers', '20000')).stdout).toContain('METER-20000');
    const file = join(folder, 'out.csv');
    expect((await run('export', day.slice(0, 7), file)).code).toBe(0);
    expect(existsSync(file)).toBe(true);
    for (const args of [
      ['import', 'readings', join(folder, 'nothing.csv')],
      ['import', 'dogs', file],
      ['export', '2026-13'],
      ['seed', '--customers', '-1'],
    ])
      expect(await run(...args)).toMatchObject({ code: 1 });
    await writeFile(join(folder, 'wrong.csv'), 'a,b\n1,2\n');
    const wrong = await run('import', 'readings', join(folder, 'wrong.csv'));
    expect(wrong.stdout).toMatch(/The first line must name the columns/);
    expect(wrong.stdout).not.toContain('    at ');
  });
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What is still referred to, on the heap and beside it; the process's size also tells when it was collected last. */
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
