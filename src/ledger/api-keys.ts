import { createHash, randomBytes } from 'node:crypto';
import type { Queryable } from './database.ts';

export const API_KEY_SCOPES = ['submit', 'read', 'admin'] as const;
export type ApiKeyScope = (typeof API_KEY_SCOPES)[number];

/** A key as the ledger keeps it: never the secret itself. */
export interface ApiKey {
  id: string;
  sha256: Buffer;
  name: string;
  namespace: string;
  scopes: ApiKeyScope[];
  createdAtMs: number;
  expiresAtMs: number | null;
  revokedAtMs: number | null;
}

export interface NewApiKey {
  name: string;
  namespace: string;
  scopes: readonly ApiKeyScope[];
  expiresAtMs: number | null;
}

interface ApiKeyRow {
  id: string;
  sha256: Buffer;
  name: string;
  namespace: string;
  scopes: ApiKeyScope[];
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
}

const COLUMNS = 'id, sha256, name, namespace, scopes, created_at, expires_at, revoked_at';

const TOKEN = /^lsk_([a-z0-9]{16})_([A-Za-z0-9_-]{43})$/;

/** The parts of `lsk_<id>_<secret>`, or null for any other text. */
export function parseApiKey(token: string): { id: string; secret: string } | null {
  const match = TOKEN.exec(token);
  return match === null ? null : { id: match[1] as string, secret: match[2] as string };
}

export function hashApiSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** The token of a key, of 256 random bits. */
export function generateApiKey(): string {
  return `lsk_${randomBytes(8).toString('hex')}_${randomBytes(32).toString('base64url')}`;
}

/** Makes a key. Its token is shown once: the ledger keeps its id and the SHA-256 of its secret. */
export async function createApiKey(db: Queryable, key: NewApiKey): Promise<{ id: string; token: string }> {
  const token = generateApiKey();
  return { id: await putApiKey(db, token, key), token };
}

/** Keeps a key whose token exists already; answers its id. One that is there stays as it is, revoked or not. */
export async function putApiKey(db: Queryable, token: string, key: NewApiKey): Promise<string> {
  const parts = parseApiKey(token);
  if (parts === null) throw new TypeError('The token is no API key');
  await db.query(
    `insert into api_keys (id, sha256, name, namespace, scopes, expires_at) values ($1, $2, $3, $4, $5, $6)
     on conflict (id) do nothing`,
    [
      parts.id,
      hashApiSecret(parts.secret),
      key.name,
      key.namespace,
      key.scopes,
      key.expiresAtMs === null ? null : new Date(key.expiresAtMs),
    ],
  );
  return parts.id;
}

export async function findApiKey(db: Queryable, id: string): Promise<ApiKey | null> {
  const { rows } = await db.query<ApiKeyRow>(`/* api-key */ select ${COLUMNS} from api_keys where id = $1`, [
    id,
  ]);
  return rows[0] === undefined ? null : toApiKey(rows[0]);
}

export async function listApiKeys(db: Queryable): Promise<ApiKey[]> {
  const { rows } = await db.query<ApiKeyRow>(
    `/* api-keys */ select ${COLUMNS} from api_keys order by namespace, created_at limit 1000`,
  );
  return rows.map(toApiKey);
}

/** Ends a key; API processes forget it within 30 s. False when there is none, or it was revoked before. */
export async function revokeApiKey(db: Queryable, id: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `update api_keys set revoked_at = now() where id = $1 and revoked_at is null`,
    [id],
  );
  return rowCount === 1;
}

function toApiKey(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    sha256: row.sha256,
    name: row.name,
    namespace: row.namespace,
    scopes: row.scopes,
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
  };
}
