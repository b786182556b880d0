import { describe, expect, it } from 'vitest';
import { isPublicAddress, refuseWebhookUrl } from './webhook-url.ts';

const strict = { allowInsecure: false, allowPrivate: false };

describe('refuseWebhookUrl', () => {
  it.each([
    'http://example.com/',
    'ftp://example.com/',
    'https://user:pw@example.com/',
    'https://127.0.0.1/',
    'https://127.1/',
    'https://0x7f.1/',
    'https://2130706433/',
    'https://0.0.0.0/',
    'https://[::1]/',
    'https://[::]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[::7f00:1]/',
    'https://169.254.169.254/latest',
    'https://[fd00:ec2::254]/',
    'https://10.1.2.3/',
    'https://172.16.0.1/',
    'https://192.168.1.1/',
    'https://100.64.0.1/',
    'https://198.18.0.1/',
    'https://224.0.0.1/',
    'https://localhost/',
    'https://localhost./',
    'https://kubernetes.default.svc/',
    'https://metadata.google.internal/',
    'https://intranet/',
    'https://example.com:8443/',
    'https://１２７.0.0.1/',
    'https://example.com/\r\nHost: evil',
    'nonsense',
    `https://example.com/${'a'.repeat(2_100)}`,
  ])('refuses %s', (url) => {
    expect(refuseWebhookUrl(url, strict)).toEqual(expect.any(String));
  });

  it('takes a public https URL', () => {
    expect(refuseWebhookUrl('https://example.com/hook?x=1', strict)).toBeNull();
    expect(refuseWebhookUrl('https://93.184.216.34/', strict)).toBeNull();
  });

  it('takes private ones only when allowed, and http only when allowed', () => {
    expect(
      refuseWebhookUrl('https://10.0.0.1:8443/', { allowInsecure: false, allowPrivate: true }),
    ).toBeNull();
    expect(refuseWebhookUrl('http://10.0.0.1/', { allowInsecure: false, allowPrivate: true })).not.toBeNull();
    expect(refuseWebhookUrl('http://127.0.0.1:9/', { allowInsecure: true, allowPrivate: true })).toBeNull();
  });
});

it('knows public addresses', () => {
  expect(isPublicAddress('8.8.8.8')).toBe(true);
  expect(isPublicAddress('2606:4700::1111')).toBe(true);
  expect(isPublicAddress('::ffff:10.0.0.1')).toBe(false);
  expect(isPublicAddress('example.com')).toBe(false);
});
