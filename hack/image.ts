// Builds the image with whichever builder is there. IMAGE names it (longshore:dev), BASE_IMAGE the image it is based on,
// BUILDER chooses among docker, buildah and podman. A NODE_EXTRA_CA_CERTS of this machine is trusted in the build too.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const MACHINE_CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** Each with a call that works only where it could build: a docker command without its daemon could not. */
const BUILDERS = { docker: ['info'], buildah: ['images', '--quiet'], podman: ['info'] } as const;
type Builder = keyof typeof BUILDERS;

function findBuilder(): Builder {
  const wanted = process.env.BUILDER;
  const candidates = Object.entries(BUILDERS).filter(([name]) => !wanted || wanted === name);
  for (const [name, probe] of candidates) {
    if (spawnSync(name, probe, { stdio: 'ignore', timeout: 20_000 }).status === 0) return name as Builder;
  }
  const names = candidates.map(([name]) => name).join(', ') || `BUILDER=${wanted}`;
  throw new Error(`No builder of images works here (tried ${names}): install one, or start its daemon`);
}

/** How npm in the build gets to trust what this machine trusts. */
function certificateArgs(builder: Builder): string[] {
  const given = process.env.NODE_EXTRA_CA_CERTS;
  const file = given || (process.env.NODE_USE_SYSTEM_CA === '1' ? MACHINE_CERTIFICATES : '');
  if (file === '' || !existsSync(file)) return [];
  if (builder === 'docker') {
    return ['--secret', `id=ca,src=${file}`, '--build-arg', 'NODE_EXTRA_CA_CERTS=/run/secrets/ca'];
  }
  const folder = dirname(file);
  return ['--volume', `${folder}:${folder}:ro`, '--build-arg', `NODE_EXTRA_CA_CERTS=${file}`];
}

function git(...args: string[]): string {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '';
}

const builder = findBuilder();
const image = process.env.IMAGE || 'longshore:dev';
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const buildArgs = {
  ...(process.env.BASE_IMAGE ? { BASE_IMAGE: process.env.BASE_IMAGE } : {}),
  VERSION: version,
  REVISION: git('rev-parse', 'HEAD') || 'unknown',
  // The time of the commit, so that the same sources make the same image.
  CREATED: git('log', '-1', '--format=%cI') || '1970-01-01T00:00:00Z',
};
const args = [
  'build',
  '--tag',
  image,
  '--network',
  'host',
  ...Object.entries(buildArgs).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
  ...certificateArgs(builder),
  // The later stages of a failed build start from what the earlier ones left.
  ...(builder === 'buildah' ? ['--layers'] : []),
  root,
];
process.stdout.write(`Building ${image} with ${builder}\n`);
execFileSync(builder, args, { stdio: 'inherit', cwd: root });
