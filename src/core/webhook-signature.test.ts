import { describe, expect, it } from 'vitest';
import { signWebhook, verifyWebhook } from './webhook-signature.ts';

const message = { id: '0190b3c8-3b5d-7000-8000-000000000000-4', unixSeconds: 1_700_000_000, body: '{"a":1}' };
const now = { id: message.id, body: message.body, nowUnixSeconds: message.unixSeconds + 10 };

describe('a webhook signature', () => {
  it('is this for this message: a vector for receivers in other languages', () => {
    expect(signWebhook(['a secret of 16 b'], message)).toBe(
      't=1700000000,v1=3cb627979b84554aa0bcf9297162c7be5e57384a82b78f5cda73b4408faa3bf1',
    );
  });

  it('verifies under either secret while two are valid', () => {
    const header = signWebhook(['the new secret 1', 'the old secret 1'], message);
    expect(verifyWebhook('the new secret 1', header, now)).toBe(true);
    expect(verifyWebhook('the old secret 1', header, now)).toBe(true);
    expect(verifyWebhook('another secret 1', header, now)).toBe(false);
  });

  it.each([
    ['another body', { ...now, body: '{"a":2}' }],
    ['another id', { ...now, id: 'x' }],
    ['a later time', { ...now, nowUnixSeconds: message.unixSeconds + 301 }],
    ['an earlier time', { ...now, nowUnixSeconds: message.unixSeconds - 301 }],
  ])('does not verify for %s', (_, received) => {
    expect(verifyWebhook('secret', signWebhook(['secret'], message), received)).toBe(false);
  });

  it.each(['', 't=,v1=', 'v1=00', 't=1700000000', 't=1700000000,v1=zz'])(
    'refuses the header %j',
    (header) => {
      expect(verifyWebhook('secret', header, now)).toBe(false);
    },
  );
});
