import type { Queryable } from './database.ts';

/** A message that was claimed to be sent. */
export interface ClaimedMessage {
  id: number;
  chatId: number;
  content: unknown;
  /** This try included. */
  attempts: number;
  createdAtMs: number;
}

/** Puts an answer into the outbox; false when that update has its answer already. */
export async function queueAnswer(
  db: Queryable,
  answer: { namespace: string; chatId: number; updateId: number; content: object },
): Promise<boolean> {
  const { rowCount } = await db.query(
    `/* queue-answer */ insert into bot_messages (namespace, chat_id, update_id, content) values ($1, $2, $3, $4)
     on conflict (namespace, update_id) where update_id is not null do nothing`,
    [answer.namespace, answer.chatId, answer.updateId, JSON.stringify(answer.content)],
  );
  return rowCount === 1;
}

/**
 * Claims due messages, of each chat the oldest only, so that a chat reads in order and one that is put off holds up nobody else.
 * A claim that is neither ended nor put off runs out after `leaseSeconds`.
 */
export async function claimMessages(
  db: Queryable,
  { namespace, limit, leaseSeconds }: { namespace: string; limit: number; leaseSeconds: number },
): Promise<ClaimedMessage[]> {
  const { rows } = await db.query<{
    id: number;
    chat_id: number;
    content: unknown;
    attempts: number;
    created_at: Date;
  }>(
    `/* claim-messages */ update bot_messages set attempts = attempts + 1, due_at = now() + make_interval(secs => $3)
     where id in (
       select m.id from bot_messages m where m.namespace = $1 and m.ended_at is null and m.due_at <= now()
         and not exists (select from bot_messages o where o.namespace = $1 and o.chat_id = m.chat_id and o.ended_at is null and o.id < m.id)
       order by m.due_at limit $2 for update skip locked)
     returning id, chat_id, content, attempts, created_at`,
    [namespace, limit, leaseSeconds],
  );
  return rows.map((row) => ({
    id: row.id,
    chatId: row.chat_id,
    content: row.content,
    attempts: row.attempts,
    createdAtMs: row.created_at.getTime(),
  }));
}

/** The message has been sent, or never will be: then `error` says why. */
export async function endMessage(db: Queryable, id: number, error: string | null): Promise<void> {
  await db.query('/* end-message */ update bot_messages set ended_at = now(), error = $2 where id = $1', [
    id,
    error,
  ]);
}

/** The message is tried again after `ms`. */
export async function putOffMessage(db: Queryable, id: number, ms: number): Promise<void> {
  await db.query(
    '/* put-off-message */ update bot_messages set due_at = now() + make_interval(secs => $2::double precision / 1000) where id = $1',
    [id, ms],
  );
}

/** How many messages wait, and how long the oldest has. */
export async function countWaiting(
  db: Queryable,
  namespace: string,
): Promise<{ messages: number; oldestSeconds: number }> {
  const { rows } = await db.query<{ messages: number; oldest: number }>(
    `/* count-messages */ select count(*) as messages, coalesce(extract(epoch from now() - min(created_at)), 0)::double precision as oldest
     from bot_messages where namespace = $1 and ended_at is null`,
    [namespace],
  );
  return { messages: rows[0]?.messages ?? 0, oldestSeconds: rows[0]?.oldest ?? 0 };
}

/** Forgets messages that ended a day ago: Telegram repeats no update that is older. */
export async function forgetMessages(db: Queryable, namespace: string): Promise<number> {
  const { rowCount } = await db.query(
    `/* forget-messages */ delete from bot_messages where id in (select id from bot_messages
       where namespace = $1 and ended_at < now() - interval '1 day' limit 10000)`,
    [namespace],
  );
  return rowCount ?? 0;
}
