import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../../hack/services/ports.ts';
import { CLI } from '../../hack/stack/run-cli.ts';
import { BotWorld } from '../support/bot.ts';
import { BOT_TOKEN } from '../support/fake-telegram.ts';
import { PgFaultProxy } from '../support/pg-fault-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

const MIB = 1_048_576;

let world: BotWorld;
let pg: PgFaultProxy;
let health: number;
const children: ChildProcess[] = [];
let log = '';
beforeAll(async () => {
  world = await BotWorld.start();
  pg = await PgFaultProxy.start(world.ledger.url);
  health = await freePort();
  await world.price('binance BTC-USDT', '69000');
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await pg?.close();
  await world?.stop();
});

async function startProcess(env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, [CLI, 'bot'], {
    env: {
      ...process.env,
      LONGSHORE_POSTGRES_URL: pg.through(world.ledger.url),
      LONGSHORE_BOT_TOKEN: BOT_TOKEN,
      LONGSHORE_BOT_API_URL: world.telegram.url,
      LONGSHORE_BOT_PER_MINUTE: '6000',
      LONGSHORE_HEALTH_HOST: '127.0.0.1',
      LONGSHORE_HEALTH_PORT: String(health),
      LONGSHORE_LOG_LEVEL: 'debug',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      log += text;
    });
  }
  children.push(child);
  await waitFor(async () => (await get('/readyz')).status === 200, {
    describe: 'readiness',
    timeoutMs: 30_000,
  });
  return child;
}

const get = (path: string) =>
  fetch(`http://127.0.0.1:${health}${path}`, { signal: AbortSignal.timeout(2_000) });
const answered = (text: RegExp, count = 1) =>
  waitFor(() => world.telegram.textsTo(7).filter((seen) => text.test(seen)).length >= count, {
    describe: `an answer like ${text}`,
    timeoutMs: 40_000,
  });
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal);
  const [code] = await exited;
  return code as number | null;
}

it('is killed at any moment and goes on where it was: nothing unanswered, one alert', async () => {
  const first = await startProcess();
  world.telegram.say('/subscribe btc usdt above 70000');
  await answered(/^Subscribed/);
  // Telegram is down, so that the alert is in the outbox when the process is killed.
  world.telegram.fail('sendMessage', { status: 502, description: 'Bad Gateway' });
  await world.price('binance BTC-USDT', '71000');
  await waitFor(
    async () =>
      (await world.ledger.db.query("select from bot_messages where content->>'kind' = 'alert'")).rowCount ===
      1,
    {
      describe: 'the alert in the outbox',
    },
  );
  await end(first, 'SIGKILL');
  world.telegram.say('/rate btc usdt');
  const second = await startProcess();
  await answered(/is above 70000/);
  await answered(/^1 BTC = 71000/);
  world.telegram.say('/help');
  await answered(/^I tell/);
  expect(world.telegram.textsTo(7).filter((text) => text.includes('is above'))).toHaveLength(1);
  expect(await end(second, 'SIGTERM')).toBe(0);
  expect(world.telegram.unconfirmed).toBe(0);
});

it('leaves updates at Telegram while PostgreSQL is away, and answers them after', async () => {
  const child = await startProcess();
  pg.down();
  world.telegram.say('/convert 2 btc usdt');
  await waitFor(() => log.includes('Failed to take updates'), { describe: 'a failure', timeoutMs: 30_000 });
  expect(world.telegram.unconfirmed).toBe(1);
  expect((await get('/readyz')).status).toBe(503);
  pg.up();
  await answered(/^2 BTC = 142000 USDT/);
  expect(await end(child, 'SIGTERM')).toBe(0);
});

/** What Node.js takes to run TypeScript: the bot that is given away is JavaScript. */
function typeStrippingMib(): number {
  const peakOf = (code: string) => {
    const print = `console.log(/VmHWM:\\s+(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1])`;
    return Number(
      execFileSync(process.execPath, ['--no-warnings', '--eval', `${code};${print}`], { encoding: 'utf8' }),
    );
  };
  const source = JSON.stringify('let a: number = 1;'.repeat(1_000));
  const stripping = `require('node:module').stripTypeScriptTypes(${source})`;
  return (peakOf(stripping) - peakOf('')) / 1_024;
}

it('stays below 150 MiB under a thousand commands, and never logs its token', async () => {
  const child = await startProcess();
  const before = world.telegram.messages.length;
  for (let n = 0; n < 1_000; n += 1)
    world.telegram.say(n % 2 === 0 ? '/rate btc usdt' : `/rate ${'x'.repeat(3_000)}`, {
      chatId: 1_000 + n,
      personId: 1_000 + n,
    });
  await waitFor(() => world.telegram.messages.length >= before + 1_000, {
    describe: 'a thousand answers',
    timeoutMs: 100_000,
  });
  const peak =
    Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1_024;
  expect(peak).toBeGreaterThan(0);
  expect(peak / MIB - typeStrippingMib()).toBeLessThanOrEqual(150);
  const metrics = await (await get('/metrics')).text();
  expect(metrics).toMatch(/longshore_bot_updates_total\{kind="rate",process="bot"\} 1000/);
  world.telegram.fail('getUpdates', 'reset');
  world.telegram.fail('sendMessage', 'reset');
  world.telegram.say('/list');
  await answered(/subscriptions|BTC\/USDT above/);
  expect(await end(child, 'SIGTERM')).toBe(0);
  expect(log).toContain('Bot started');
  expect(log).not.toContain(BOT_TOKEN);
  expect(log).not.toContain(BOT_TOKEN.split(':')[1]);
});
