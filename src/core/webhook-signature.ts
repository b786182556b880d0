import { createHmac, timingSafeEqual } from 'node:crypto';

/** A receiver refuses a signature that is older than this. */
export const SIGNATURE_TOLERANCE_SECONDS = 300;

/**
 * The value of the header `longshore-signature`: `t=<unix seconds>,v1=<hex>`, one `v1` for each secret, so that a receiver
 * that knows either of two accepts it while they are exchanged. A `v1` is the HMAC-SHA256 of `<t>.<id>.<body>`.
 */
export function signWebhook(
  secrets: readonly string[],
  message: { id: string; unixSeconds: number; body: string },
): string {
  const text = `${message.unixSeconds}.${message.id}.${message.body}`;
  const marks = secrets.map((secret) => `v1=${createHmac('sha256', secret).update(text).digest('hex')}`);
  return [`t=${message.unixSeconds}`, ...marks].join(',');
}

/** What a receiver does: whether `header` is a signature of this message by `secret`, made within five minutes of now. */
export function verifyWebhook(
  secret: string,
  header: string,
  message: { id: string; body: string; nowUnixSeconds: number },
): boolean {
  const parts = header.split(',').map((part) => part.split('='));
  const unixSeconds = Number(parts.find(([name]) => name === 't')?.[1]);
  if (!(Math.abs(message.nowUnixSeconds - unixSeconds) <= SIGNATURE_TOLERANCE_SECONDS)) return false;
  const expected = createHmac('sha256', secret)
    .update(`${unixSeconds}.${message.id}.${message.body}`)
    .digest();
  return parts.some(([name, hex = '']) => {
    const given = Buffer.from(hex, 'hex');
    return name === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
}
