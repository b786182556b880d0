import { expect, it } from 'vitest';
import { type Death, DeathWatch } from './death-watch.ts';

const CRASH: Death = {
  name: 'worker',
  end: { code: 7, signal: null },
  logFile: 'logs/worker.log',
  lastLines: 'Worker started\nno memory left',
};

it('tells which program died, how, its last lines and where the others are', async () => {
  const watch = new DeathWatch();
  const work = watch.during(new Promise(() => {}));
  watch.report(CRASH);
  watch.report({ ...CRASH, name: 'api' });
  await expect(work).rejects.toThrow(
    'worker ended by itself with exit code 7; its log is logs/worker.log\n  Worker started\n  no memory left\n',
  );
  expect(() => watch.signal.throwIfAborted()).toThrow('worker');
});

it('rejects work that begins after a death, and leaves alone what ends while all is stopped', async () => {
  const dead = new DeathWatch();
  dead.report({ ...CRASH, end: { code: null, signal: 'SIGKILL' } });
  await expect(dead.during(new Promise(() => {}))).rejects.toThrow(
    /worker was ended by SIGKILL.*\n.*\n.*\n.*dmesg/,
  );
  const stopped = new DeathWatch();
  stopped.end();
  stopped.report(CRASH);
  expect(await stopped.during(Promise.resolve('done'))).toBe('done');
});
