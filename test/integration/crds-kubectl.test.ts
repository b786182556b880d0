import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { JOB_SCHEDULE } from '../../src/core/kinds/job-schedule.ts';
import { QUEUE_JOB } from '../../src/core/kinds/queue-job.ts';
import { WORKER_POOL } from '../../src/core/kinds/worker-pool.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource-type.ts';
import { useKinds } from '../support/kinds.ts';
import { waitFor } from '../support/wait-for.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples/kubernetes', import.meta.url));

const kinds = useKinds('kubectl');
const job = { type: 'contract-source' };
const pool = { image: 'worker:1', types: [{ name: 'contract-source' }] };
const schedule = { jobTemplate: job };

describe('kubectl', () => {
  const conditions = [
    {
      type: 'Ready',
      status: 'True',
      reason: 'Idle',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
  ];
  const status = {
    [QUEUE_JOB.plural]: {
      phase: 'Succeeded',
      attempts: 2,
      duration: '1m3s',
      jobId: 'some-id',
      message: 'Done',
    },
    [WORKER_POOL.plural]: { types: 'contract-source', load: 7, replicas: 2, ready: 2, conditions },
    [JOB_SCHEDULE.plural]: {
      schedule: 'every 10s',
      lastFireTime: '2026-01-01T00:00:00Z',
      nextFireTime: '2999-01-01T00:00:10Z',
    },
  };
  const specs: [ResourceType, object][] = [
    [QUEUE_JOB, job],
    [WORKER_POOL, pool],
    [JOB_SCHEDULE, { ...schedule, every: '10s', suspend: true }],
  ];

  beforeAll(async () => {
    for (const [type, spec] of specs) {
      await kinds.client.create(type, kinds.manifest(type, 'shown', spec));
      const ref = { namespace: kinds.namespace, name: 'shown' };
      await kinds.client.patchStatusMerge(type, ref, { status: status[type.plural] });
    }
  });

  test.each([
    [
      'qj',
      ['NAME', 'TYPE', 'PHASE', 'ATTEMPTS', 'AGE', 'DURATION'],
      ['contract-source', 'Succeeded', '2', '1m3s'],
    ],
    [
      'wp',
      ['NAME', 'TYPES', 'LOAD', 'REPLICAS', 'READY', 'REASON', 'AGE'],
      ['contract-source', '7', '2', 'True', 'Idle'],
    ],
    [
      'js',
      ['NAME', 'SCHEDULE', 'LAST', 'NEXT', 'SUSPENDED', 'AGE'],
      ['every', '10s', '2999-01-01T00:00:10Z', 'true'],
    ],
  ])('get %s answers the first question', async (shortName, columns, cells) => {
    const [head = '', row = ''] = (await kinds.kubectl(['-n', kinds.namespace, 'get', shortName, 'shown']))
      .trim()
      .split('\n');
    expect(head.split(/ {2,}/).map((column) => column.trim())).toEqual(columns);
    expect(row.split(/\s+/)).toEqual(expect.arrayContaining(['shown', ...cells]));
  });

  test('get longshore lists all kinds', async () => {
    const names = await kinds.kubectl(['-n', kinds.namespace, 'get', 'longshore', '-o', 'name']);
    for (const [type] of specs) {
      expect(names).toContain(`${type.kind.toLowerCase()}.longshore.dev/shown`);
    }
  });

  test('field selectors know type and phase', async () => {
    const get = (selector: string) =>
      kinds.kubectl(['-n', kinds.namespace, 'get', 'qj', `--field-selector=${selector}`, '-o', 'name']);
    expect(await get('spec.type=contract-source,status.phase=Succeeded')).toBe(
      'queuejob.longshore.dev/shown\n',
    );
    expect(await get('spec.type=image-convert')).toBe('');
  });

  test('explain tells what a field is for', async () => {
    const explain = (path: string) =>
      waitFor(() => kinds.kubectl(['explain', path]), { describe: `kubectl explain ${path}` });
    expect(await explain('queuejob.spec.input')).toMatch(/FIELD: input <Object>[\s\S]*at most 8 KiB/);
    expect(await explain('wp.spec.jobsPerReplica')).toContain('one further pod');
    expect(await explain('js.spec.catchUp')).toMatch(/policy\s+<string> -required-/);
  });

  const readExamples = async () => {
    const files = await readdir(EXAMPLES);
    const texts = await Promise.all(files.map((file) => readFile(`${EXAMPLES}/${file}`, 'utf8')));
    return texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as KubeObject));
  };

  test.each(['a QueueJob', 'a JobSchedule', 'a WorkerPool'])('the examples have %s', async (kind) => {
    expect((await readExamples()).map((example) => `a ${example.kind}`)).toContain(kind);
  });

  test('the examples are taken, server-side applied too', async () => {
    const apply = ['-n', kinds.namespace, 'apply', '--validate=strict', '--dry-run=server', '-f', EXAMPLES];
    for (const flags of [[], ['--server-side']]) {
      const answer = await kinds.kubectl([...apply, ...flags]);
      expect(answer.match(/\(server dry run\)/g)).toHaveLength((await readExamples()).length);
    }
  });
});
