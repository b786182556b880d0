// Makes sure that PostgreSQL and Redis are there, and says which are used.
import { findPostgres, findRedis } from './programs.ts';

process.stdout.write(`PostgreSQL: ${(await findPostgres()).postgres}\n`);
process.stdout.write(`Redis: ${await findRedis()}\n`);
