import { hash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { setBounded } from '../core/set-bounded.ts';
import { type RateLimit, TokenBucket } from '../core/token-bucket.ts';
import { type ApiKey, type ApiKeyScope, parseApiKey } from '../ledger/api-keys.ts';
import { isUnavailable } from '../ledger/database.ts';

/** Who asks: one namespace, with what may be done in it. */
export interface Principal {
  /** null when authentication is off. */
  keyId: string | null;
  namespace: string;
  scopes: ReadonlySet<ApiKeyScope>;
  bucket: TokenBucket;
  /** Event streams that this key holds open in this process. */
  openStreams: number;
}

export interface AuthenticatorOptions {
  /** Looks a key up by its id. */
  find(id: string): Promise<ApiKey | null>;
  clock: Clock;
  rateLimit: RateLimit;
  /** How long a key is believed without looking again. Defaults to 30 s. */
  cacheMs?: number;
}

interface Entry {
  key: ApiKey | null;
  principal: Principal | null;
  freshUntilMs: number;
  /** When the ledger was asked. */
  seenAtMs: number;
}

const MAX_ENTRIES = 10_000;
const UNKNOWN_KEY_CACHE_MS = 5_000;
/** While the ledger is away a key that was valid is believed for this long: what needs no ledger goes on. */
const MAX_STALE_MS = 15 * 60_000;
const STALE_CACHE_MS = 2_000;

/** Tells whose key a token is. The secret is compared as SHA-256 in constant time, and kept nowhere. */
export class Authenticator {
  readonly #options: Required<AuthenticatorOptions>;
  readonly #entries = new Map<string, Entry>();
  readonly #lookups = new Map<string, Promise<Entry>>();

  constructor(options: AuthenticatorOptions) {
    this.#options = { cacheMs: 30_000, ...options };
  }

  /** The key's owner, or null for a token that is wrong, unknown, expired or revoked. A promise only for a key not seen lately. */
  authenticate(token: string): Principal | null | Promise<Principal | null> {
    const parsed = parseApiKey(token);
    if (parsed === null) return null;
    const entry = this.#entries.get(parsed.id);
    if (entry !== undefined && entry.freshUntilMs > this.#options.clock.now()) {
      return this.#judge(entry, parsed.secret);
    }
    return this.#lookUp(parsed.id, entry).then((found) => this.#judge(found, parsed.secret));
  }

  #judge({ key, principal }: Entry, secret: string): Principal | null {
    if (key === null || principal === null) return null;
    if (!timingSafeEqual(hash('sha256', secret, 'buffer'), key.sha256)) return null;
    if (key.revokedAtMs !== null) return null;
    if (key.expiresAtMs !== null && key.expiresAtMs <= this.#options.clock.now()) return null;
    return principal;
  }

  /** One look-up for all requests with the same key; its bucket outlives the entry. */
  #lookUp(id: string, stale: Entry | undefined): Promise<Entry> {
    const running = this.#lookups.get(id);
    if (running !== undefined) return running;
    const lookup = this.#options
      .find(id)
      .then((key) => this.#remember(id, key, stale?.principal ?? null))
      .catch((error: unknown) => this.#believe(stale, error))
      .finally(() => this.#lookups.delete(id));
    this.#lookups.set(id, lookup);
    return lookup;
  }

  #believe(stale: Entry | undefined, error: unknown): Entry {
    const now = this.#options.clock.now();
    const isUsable = stale !== undefined && stale.key !== null && now - stale.seenAtMs <= MAX_STALE_MS;
    if (!isUsable || !isUnavailable(error)) throw error;
    stale.freshUntilMs = now + STALE_CACHE_MS;
    return stale;
  }

  #remember(id: string, key: ApiKey | null, known: Principal | null): Entry {
    const { clock, cacheMs, rateLimit } = this.#options;
    const entry: Entry = {
      key,
      principal:
        key === null ? null : (known ?? createPrincipal(key.id, key.namespace, key.scopes, rateLimit, clock)),
      seenAtMs: clock.now(),
      freshUntilMs: clock.now() + (key === null ? UNKNOWN_KEY_CACHE_MS : cacheMs),
    };
    // The oldest entry leaves: made-up ids must not fill the memory.
    this.#entries.delete(id);
    setBounded(this.#entries, id, entry, MAX_ENTRIES);
    return entry;
  }
}

export function createPrincipal(
  keyId: string | null,
  namespace: string,
  scopes: readonly ApiKeyScope[],
  rateLimit: RateLimit,
  clock: Clock,
): Principal {
  return {
    keyId,
    namespace,
    scopes: new Set(scopes),
    bucket: new TokenBucket(rateLimit, clock),
    openStreams: 0,
  };
}
