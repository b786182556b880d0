import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';

export { startRedis } from '../../hack/services/redis.ts';

export interface TestRedis {
  url: string;
  /** Starts every key of this test; all of them are deleted at its end. */
  prefix: string;
  client: Redis;
}

/** Runs `work` with a prefix of its own on the shared Redis; tests that flush, stop or break Redis start one of their own. */
export async function withRedis<Answer>(work: (redis: TestRedis) => Promise<Answer>): Promise<Answer> {
  const url = process.env.LONGSHORE_TEST_REDIS_URL;
  if (url === undefined)
    throw new Error('LONGSHORE_TEST_REDIS_URL is not set: run this as part of the integration project');
  const prefix = `t${randomBytes(6).toString('hex')}`;
  const client = new Redis(url, { maxRetriesPerRequest: 3 });
  try {
    return await work({ url, prefix, client });
  } finally {
    for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1_000 })) {
      if ((keys as string[]).length > 0) await client.unlink(keys as string[]);
    }
    client.disconnect();
  }
}
