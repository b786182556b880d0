import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Logger, silentLogger } from '../core/logger.ts';
import { HealthServer } from './health-server.ts';
import { PeriodicService } from './service.ts';
import { Shutdown } from './shutdown.ts';
import { waitForDependency, withDeadline } from './wait-for.ts';

function recordingLogger(): Logger & { lines: { message: string; fields: object }[] } {
  const lines: { message: string; fields: object }[] = [];
  const record = (fields: object, message: string) => void lines.push({ message, fields });
  const logger = { lines, debug: record, info: record, warn: record, error: record, child: () => logger };
  return logger;
}

describe('withDeadline', () => {
  test('rejects at the deadline although the work ignores its signal', async () => {
    await expect(withDeadline(() => new Promise(() => {}), 10)).rejects.toThrow('No answer within 10 ms');
  });

  test('rejects with the reason of its parent, also when that was aborted before', async () => {
    const work = () => new Promise<never>(() => {});
    await expect(withDeadline(work, 5_000, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  });
});

describe('waitForDependency', () => {
  test('asks again until the dependency answers, and says so', async () => {
    const logger = recordingLogger();
    let asked = 0;
    const probe = async () => {
      asked += 1;
      if (asked < 3)
        throw new AggregateError([
          new Error('connect ECONNREFUSED ::1'),
          new Error('connect ECONNREFUSED 127.0.0.1'),
        ]);
      return 'here';
    };
    const options = { logger, signal: new AbortController().signal, baseMs: 2 };
    expect(await waitForDependency('PostgreSQL', probe, options)).toBe('here');
    expect(logger.lines.map((line) => line.message)).toEqual([
      'Waited for dependency',
      'Waited for dependency',
      'Dependency became available',
    ]);
    expect(logger.lines[0]?.fields).toMatchObject({
      dependency: 'PostgreSQL',
      reason: 'connect ECONNREFUSED ::1; connect ECONNREFUSED 127.0.0.1',
    });
  });

  test('ends with its signal', async () => {
    const controller = new AbortController();
    const waiting = waitForDependency('Redis', () => Promise.reject(new Error('away')), {
      logger: { ...silentLogger, warn: () => controller.abort(new Error('enough')) },
      signal: controller.signal,
      baseMs: 60_000,
    });
    await expect(waiting).rejects.toThrow('enough');
  });
});

describe('Shutdown', () => {
  test('closes last what was opened first, and goes on after a failed and a late step', async () => {
    const order: string[] = [];
    const codes: number[] = [];
    const logger = recordingLogger();
    const shutdown = new Shutdown({ logger, exit: (code) => void codes.push(code) });
    shutdown.add('database', () => void order.push('database'));
    shutdown.add('late', () => new Promise(() => {}), 5);
    shutdown.add('broken', () => Promise.reject(new Error('broken')));
    shutdown.add('server', () => void order.push(`server, aborted: ${shutdown.signal.aborted}`));
    const codesOfBoth = await Promise.all([shutdown.run('test'), shutdown.run('again')]);
    expect(order).toEqual(['server, aborted: true', 'database']);
    expect(codes).toEqual([1]);
    expect(codesOfBoth).toEqual([1, 1]);
    const failed = logger.lines.filter((line) => line.message === 'Shutdown step failed');
    expect(failed.map((line) => line.fields)).toMatchObject([{ step: 'broken' }, { step: 'late' }]);
  });

  const source = (step: string, after = '') => `
    const { Shutdown } = await import(${JSON.stringify(new URL('./shutdown.ts', import.meta.url).href)});
    const log = (fields, message) => console.log(message);
    const shutdown = new Shutdown({ logger: { debug: log, info: log, warn: log, error: log } });
    shutdown.install();
    shutdown.add('step', ${step});
    setInterval(() => {}, 1000);
    console.log('started');
    ${after}`;

  async function run(code: string, signals: NodeJS.Signals[]): Promise<{ code: unknown; output: string }> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (/(started|began|working)\n$/.test(output) && signals.length > 0) child.kill(signals.shift());
    }
    const [exitCode] = await exited;
    return { code: exitCode, output };
  }

  test('a signal runs the steps and exits with 0', async () => {
    const { code, output } = await run(source('() => console.log("step ran")'), ['SIGTERM']);
    expect(output).toBe('started\nShutdown began\nstep ran\nShutdown ended\n');
    expect(code).toBe(0);
  });

  test('a second signal exits at once', async () => {
    const step = '() => { console.log("working"); return new Promise(() => {}) }, 60_000';
    const { code, output } = await run(source(step), ['SIGTERM', 'SIGINT']);
    expect(output).toContain('Shutdown was cut short by a second signal');
    expect([130, 143]).toContain(code);
  });

  test('an error that nobody caught is logged and exits with 1', async () => {
    const { code, output } = await run(source('() => {}', 'Promise.reject(new Error("bug"));'), []);
    expect(output).toContain('Rejection was not handled');
    expect(code).toBe(1);
  });
});

describe('HealthServer', () => {
  const servers: HealthServer[] = [];
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  async function start() {
    const metrics = async () => ({ contentType: 'text/plain; version=0.0.4', body: 'up 1\n' });
    const server = new HealthServer({
      host: '127.0.0.1',
      port: 0,
      logger: silentLogger,
      metrics,
      checkTimeoutMs: 50,
    });
    servers.push(server);
    return { server, base: `http://127.0.0.1:${await server.start()}` };
  }

  test('readiness names what is missing, a check that hangs included', async () => {
    const { server, base } = await start();
    let redis = false;
    server.addCheck('postgres', async () => 'fine');
    server.addCheck('redis', async () => {
      if (!redis) throw new Error('maxmemory-policy is allkeys-lru, not noeviction');
    });
    server.addCheck('kubernetes', () => (redis ? Promise.resolve() : new Promise(() => {})));
    const before = await fetch(`${base}/readyz`);
    expect(before.status).toBe(503);
    expect(await before.json()).toEqual({
      ready: false,
      missing: {
        redis: 'maxmemory-policy is allkeys-lru, not noeviction',
        kubernetes: 'No answer within 50 ms',
      },
    });
    redis = true;
    expect(await (await fetch(`${base}/readyz`)).json()).toEqual({ ready: true, missing: {} });
    server.drain();
    expect((await fetch(`${base}/readyz`)).status).toBe(503);
  });

  test('health, metrics, and nothing else', async () => {
    const { base } = await start();
    expect((await fetch(`${base}/healthz`)).status).toBe(200);
    const metrics = await fetch(`${base}/metrics`);
    expect([metrics.headers.get('content-type'), await metrics.text()]).toEqual([
      'text/plain; version=0.0.4',
      'up 1\n',
    ]);
    expect((await fetch(`${base}/etc`)).status).toBe(404);
    expect((await fetch(`${base}/healthz`, { method: 'POST' })).status).toBe(405);
  });

  test('a port that is taken rejects the start', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as { port: number };
    const metrics = async () => ({ contentType: '', body: '' });
    const server = new HealthServer({ host: '127.0.0.1', port, logger: silentLogger, metrics });
    await expect(server.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    squatter.close();
  });
});

describe('PeriodicService', () => {
  test('goes on after a failed round, runs once more for any number of wakes, and stops', async () => {
    let release = () => {};
    const rounds: AbortSignal[] = [];
    const entered: (() => void)[] = [];
    const nextRound = () => new Promise<void>((resolve) => void entered.push(resolve));
    const service = new PeriodicService({
      name: 'test',
      intervalMs: 3_600_000,
      logger: silentLogger,
      runOnce: async (signal) => {
        rounds.push(signal);
        entered.shift()?.();
        await new Promise<void>((resolve) => {
          release = resolve;
          signal.addEventListener('abort', () => resolve());
        });
        if (rounds.length === 1) throw new Error('first round fails');
        return { done: 1 };
      },
    });
    const first = nextRound();
    service.start();
    service.start();
    await first;
    const second = nextRound();
    service.wake();
    service.wake();
    release();
    await second;
    expect({ rounds: service.rounds, failures: service.failures }).toEqual({ rounds: 1, failures: 1 });
    await service.stop();
    expect(rounds).toHaveLength(2);
    expect(rounds[1]?.aborted).toBe(true);
    expect({ rounds: service.rounds, failures: service.failures }).toEqual({ rounds: 2, failures: 1 });
  });
});
