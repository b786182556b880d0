import { beforeAll, describe, expect, test } from 'vitest';
import { QUEUE_JOB } from '../../src/core/kinds/queue-job.ts';
import { type Custom, useKinds } from '../support/kinds.ts';

const kinds = useKinds('immutability');
const job = { type: 'contract-source' };

describe('the spec of a QueueJob stays as it is but for suspend and cancel', () => {
  const before = {
    ...job,
    input: { address: '0x1', list: [{ a: 1 }, 2], nested: { deep: { er: null } } },
    priority: 3,
    runAt: '2030-01-01T00:00:00Z',
    retries: 1,
    backoff: { baseMs: 1, maxMs: 2 },
    timeoutSeconds: 5,
    ttlSecondsAfterFinished: 6,
    idempotencyKey: 'k',
    webhook: { url: 'https://example.com/' },
    labels: { a: 'b' },
  };
  const refused = (field: string) => `spec.${field}: Invalid value: "object": ${field} cannot be changed`;

  async function tryChange(change: (spec: Record<string, unknown>) => void): Promise<string> {
    const object = await kinds.client.get<Custom>(QUEUE_JOB, { namespace: kinds.namespace, name: 'fixed' });
    change(object.spec);
    return kinds.tryReplace(QUEUE_JOB, object);
  }

  beforeAll(async () => {
    await kinds.client.create(QUEUE_JOB, kinds.manifest(QUEUE_JOB, 'fixed', before));
  });

  test.each<[string, string, unknown]>([
    ['type', 'a changed value', 'image-convert'],
    ['priority', 'a changed value', 4],
    ['runAt', 'a changed value', '2031-01-01T00:00:00Z'],
    ['retries', 'a changed value', 2],
    ['backoff', 'a changed value', { baseMs: 2, maxMs: 2 }],
    ['timeoutSeconds', 'a changed value', 6],
    ['ttlSecondsAfterFinished', 'a changed value', 7],
    ['idempotencyKey', 'a changed value', 'l'],
    ['webhook', 'a changed value', { url: 'https://example.org/' }],
    ['labels', 'a changed value', { a: 'c' }],
    ['labels', 'a renamed key', { c: 'b' }],
    ['input', 'a changed value', { ...before.input, address: '0x2' }],
    ['input', 'a value of another type', { ...before.input, address: 1 }],
    ['input', 'an added key', { ...before.input, more: 1 }],
    ['input', 'a removed key', { list: before.input.list, nested: before.input.nested }],
    ['input', 'a renamed key', { addr: '0x1', list: before.input.list, nested: before.input.nested }],
    ['input', 'only renamed keys', { a: '0x1', b: before.input.list, c: before.input.nested }],
    ['input', 'a renamed nested key', { ...before.input, nested: { deeper: { er: null } } }],
    ['input', 'a change in a list', { ...before.input, list: [{ b: 1 }, 2] }],
    ['input', 'another order of a list', { ...before.input, list: [2, { a: 1 }] }],
    ['input', 'a null in a value’s place', { ...before.input, address: null }],
    ['input', 'the empty object', {}],
  ])('%s: %s is refused', async (field, _change, value) => {
    const answer = await tryChange((spec) => {
      spec[field] = value;
    });
    expect(answer).toContain(refused(field));
  });

  test.each(Object.keys(before).filter((field) => field !== 'type'))(
    '%s cannot be removed',
    async (field) => {
      const answer = await tryChange((spec) => {
        delete spec[field];
      });
      expect(answer).toContain(refused(field));
    },
  );

  test('a field cannot be added', async () => {
    await kinds.client.create(QUEUE_JOB, kinds.manifest(QUEUE_JOB, 'bare', job));
    const ref = { namespace: kinds.namespace, name: 'bare' };
    const inputRef = { bytes: 1, sha256: 'a'.repeat(64) };
    for (const [field, value] of Object.entries({ ...before, inputRef })) {
      if (field === 'type') continue;
      const change = kinds.client.patchMerge(QUEUE_JOB, ref, { spec: { [field]: value } });
      await expect(change, field).rejects.toThrow(refused(field));
    }
  });

  test('suspend goes both ways; the order of keys and a spelt-out equal time change nothing', async () => {
    expect(await tryChange((spec) => Object.assign(spec, { suspend: true }))).toBe('ok');
    await kinds.client.create(QUEUE_JOB, kinds.manifest(QUEUE_JOB, 'held', { ...job, suspend: true }));
    const ref = { namespace: kinds.namespace, name: 'held' };
    await kinds.client.patchMerge(QUEUE_JOB, ref, { spec: { suspend: false } });
    await kinds.client.patchMerge(QUEUE_JOB, ref, { spec: { suspend: null } });
    const reordered = Object.fromEntries(Object.entries(before.input).reverse());
    expect(await tryChange((spec) => Object.assign(spec, { input: reordered }))).toBe('ok');
  });

  test('cancel is for good', async () => {
    await kinds.client.create(QUEUE_JOB, kinds.manifest(QUEUE_JOB, 'ended', { ...job, cancel: false }));
    const ref = { namespace: kinds.namespace, name: 'ended' };
    await kinds.client.patchMerge(QUEUE_JOB, ref, { spec: { cancel: true } });
    for (const cancel of [false, null]) {
      await expect(kinds.client.patchMerge(QUEUE_JOB, ref, { spec: { cancel } })).rejects.toThrow(
        'a cancelled job stays cancelled: make another QueueJob',
      );
    }
  });

  test('status, annotations and finalizers change beside an untyped input', async () => {
    const ref = { namespace: kinds.namespace, name: 'fixed' };
    await kinds.client.patchMerge(QUEUE_JOB, ref, {
      metadata: { annotations: { 'longshore.dev/job-id': 'x' } },
    });
    await kinds.client.patchStatusMerge(QUEUE_JOB, ref, { status: { phase: 'Running', attempts: 1 } });
    await expect(
      kinds.client.patchStatusMerge(QUEUE_JOB, ref, { status: { phase: 'Done' } }),
    ).rejects.toThrow('status.phase: Unsupported value: "Done"');
    const { spec } = await kinds.client.get<Custom>(QUEUE_JOB, ref);
    expect(spec).toEqual(before);
  });
});
