import ipaddr from 'ipaddr.js';
import type { InputMistake } from './known-type.ts';

export interface WebhookPolicy {
  /** Allows `http:`; for development. */
  allowInsecure: boolean;
  /** Allows addresses that are not public, and ports other than the scheme's own. */
  allowPrivate: boolean;
}

/** What decides whether a job may ask for a webhook. */
export interface WebhookRules extends WebhookPolicy {
  /** Whether there is a secret to sign with; without one nothing could ever be delivered. */
  canSign: boolean;
}

const MAX_URL_LENGTH = 2_048;

/** Names that lead into the machine or the cluster whatever DNS says. */
const PRIVATE_NAME = /(^|\.)(localhost|local|internal|svc|cluster\.local|home\.arpa)$/;

/** Why a job may not have this webhook, and where that is wrong (below `base`), or null. */
export function refuseWebhook(
  { url }: { url: string },
  rules: WebhookRules,
  base: string,
): InputMistake | null {
  if (!rules.canSign)
    return { pointer: base, detail: 'cannot be signed, since LONGSHORE_WEBHOOK_SECRET is not set' };
  const detail = refuseWebhookUrl(url, rules);
  return detail === null ? null : { pointer: `${base}/url`, detail };
}

/**
 * Why a URL may not be called, or null. It judges what can be seen in the URL; what a name resolves to is judged again
 * when the connection is made (`isPublicAddress`).
 */
export function refuseWebhookUrl(text: string, policy: WebhookPolicy): string | null {
  if (text.length > MAX_URL_LENGTH) return `is longer than ${MAX_URL_LENGTH} characters`;
  // The URL parser drops tabs and line breaks silently: what is signed and logged must be what is called.
  if (!/^[\x21-\x7e]+$/.test(text)) return 'must consist of visible ASCII characters';
  const url = URL.parse(text);
  if (url === null) return 'is no URL';
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && policy.allowInsecure))
    return 'must be an https URL';
  if (url.username !== '' || url.password !== '') return 'must not carry credentials';
  if (policy.allowPrivate) return null;
  if (url.port !== '') return 'must use the ordinary port';
  return refuseHost(url.hostname);
}

function refuseHost(hostname: string): string | null {
  const name = hostname.replace(/\.$/, '');
  const literal = name.replace(/^\[|\]$/g, '');
  if (ipaddr.isValid(literal)) {
    return isPublicAddress(literal) ? null : 'must not lead to a private address';
  }
  if (!name.includes('.') || PRIVATE_NAME.test(name)) return 'must not lead to a private name';
  return null;
}

/** Whether an IP address belongs to the public internet: unicast, and not an IPv4 address in disguise. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== 'unicast') return false;
  // ::/96 (`::7f00:1`) is "IPv4-compatible"; the library calls it unicast.
  return !(parsed instanceof ipaddr.IPv6 && parsed.match(ipaddr.IPv6.parse('::'), 96));
}
