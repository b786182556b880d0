import { expect, it } from 'vitest';
import { forEachLimited } from './for-each-limited.ts';
import { isUuid, uuidv7Floor } from './ids.ts';
import { DEFAULT_JOB_TYPE_DEFAULTS } from './job-type.ts';
import type { QueueJobSpec } from './kinds/queue-job.ts';
import type { KnownType } from './known-type.ts';
import { adoptedJobId, judgeQueueJob, specSha256 } from './queue-job-adoption.ts';

const anyInput: KnownType = {
  name: 'echo',
  defaults: DEFAULT_JOB_TYPE_DEFAULTS,
  upload: null,
  checkInput: (input) => ({ input }),
};
const webhooks = { allowInsecure: false, allowPrivate: false, canSign: true };

function refusalOf(spec: Partial<QueueJobSpec>, context: { type?: KnownType; canSign?: boolean } = {}) {
  const { type = anyInput, canSign = true } = context;
  const object = {
    apiVersion: 'longshore.dev/v1alpha1',
    kind: 'QueueJob',
    metadata: { name: 'one', namespace: 'default', uid: 'uid-1' },
    spec: { type: type.name, ...spec },
  } as const;
  const judged = judgeQueueJob(object, { type, webhooks: { ...webhooks, canSign }, nowMs: 0 });
  return 'refusal' in judged ? judged.refusal : null;
}

it('a refusal lists the places, each with one colon before what is wrong there', () => {
  const errors = [
    { pointer: '/spec/input/width', detail: 'expected number to be <=16383' },
    { pointer: '/spec/input/foo', detail: 'is not known here' },
  ];
  expect(refusalOf({}, { type: { ...anyInput, checkInput: () => ({ errors }) } })).toEqual({
    reason: 'InvalidInput',
    message: '/spec/input/width: expected number to be <=16383; /spec/input/foo: is not known here',
  });
  expect(refusalOf({})).toBeNull();
});

it('a type that works on a file is refused: an applied object has none', () => {
  expect(refusalOf({}, { type: { ...anyInput, upload: 'POST /v1/files' } })).toEqual({
    reason: 'InvalidInput',
    message: '/spec/type: needs a file, which POST /v1/files brings',
  });
});

it('a webhook is refused where nothing could sign it', () => {
  const webhook = { url: 'https://example.com/' };
  expect(refusalOf({ webhook })).toBeNull();
  expect(refusalOf({ webhook }, { canSign: false })).toEqual({
    reason: 'InvalidSpec',
    message: '/spec/webhook: cannot be signed, since LONGSHORE_WEBHOOK_SECRET is not set',
  });
});

it('an adopted job has the same id whoever adopts it: a UUIDv7 of the creation', () => {
  const atMs = 1_800_000_000_000;
  const id = adoptedJobId('uid-1', atMs);
  expect(isUuid(id)).toBe(true);
  expect(id[14]).toBe('7');
  expect(id).toBe(adoptedJobId('uid-1', atMs));
  expect(id).not.toBe(adoptedJobId('uid-2', atMs));
  expect(id >= uuidv7Floor(atMs) && id < uuidv7Floor(atMs + 1)).toBe(true);
});

it('the hash of a spec knows an edit from a wish that may change', () => {
  const spec = { type: 'echo', input: { a: 1, b: { c: 2 } } };
  expect(specSha256({ ...spec, suspend: true, cancel: true })).toBe(specSha256(spec));
  expect(specSha256({ input: { b: { c: 2 }, a: 1 }, type: 'echo' })).toBe(specSha256(spec));
  expect(specSha256({ ...spec, input: { a: 1, b: { d: 2 } } })).not.toBe(specSha256(spec));
});

it('limited work stops at the first failure and lets the rest under way end', async () => {
  let running = 0;
  let most = 0;
  const done: number[] = [];
  const work = async (n: number) => {
    running += 1;
    most = Math.max(most, running);
    await Promise.resolve();
    running -= 1;
    if (n === 5) throw new Error('five');
    done.push(n);
  };
  await expect(forEachLimited([...Array(100).keys()], 4, work)).rejects.toThrow('five');
  expect(most).toBe(4);
  expect(running).toBe(0);
  expect(done.length).toBeLessThan(12);
});
