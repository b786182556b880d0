import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const check = (file: string) =>
  promisify(execFile)(join(ROOT, 'hack/tiltfile/check'), [file], { timeout: 300_000 });

it('the Tiltfile names functions and parameters that there are', async () => {
  await expect(check('Tiltfile')).resolves.toBeDefined();
}, 320_000);

it('a parameter that Tilt does not know is found', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'longshore-tilt-'));
  try {
    const wrong = join(folder, 'Tiltfile');
    const text = await readFile(join(ROOT, 'Tiltfile'), 'utf8');
    await writeFile(wrong, `${text}\nk8s_resource('longshore-api', port_forward=['1:1'])\n`);
    await expect(check(relative(ROOT, wrong))).rejects.toThrow('port_forward');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 320_000);
