import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadImages, type Target } from './target.ts';

export interface ProvidedImage {
  repository: string;
  /** Of the image's content, so that an upgrade replaces the pods when, and only when, the sources changed. */
  tag: string;
}

/**
 * Builds the image and brings it to where the cluster's nodes find it: into their own stores, or, for a cluster that is
 * not of our making, into the registry of `IMAGE` (`registry.example.org/longshore`).
 */
export function provideImage(target: Target, env: NodeJS.ProcessEnv = process.env): ProvidedImage {
  const builder = target.engine === 'bare' ? 'buildah' : (env.BUILDER ?? 'docker');
  const repository = env.IMAGE ?? 'localhost/longshore';
  if (target.engine === 'named' && env.IMAGE === undefined) {
    throw new Error('CONTEXT names a cluster of yours: name a repository it pulls from with IMAGE=...');
  }
  const base = target.engine === 'bare' ? { BASE_IMAGE: 'localhost/node:24' } : {};
  execFileSync('node', [join(import.meta.dirname, '../image.ts')], {
    stdio: ['ignore', 2, 2],
    env: { ...env, ...base, BUILDER: builder, IMAGE: `${repository}:dev` },
  });
  const run = (...args: string[]) => execFileSync(builder, args, { encoding: 'utf8' }).trim();
  const id = run('inspect', ...inspection(builder), `${repository}:dev`).replace('sha256:', '');
  const tag = `dev-${id.slice(0, 12)}`;
  const image = `${repository}:${tag}`;
  run('tag', `${repository}:dev`, image);
  if (target.engine === 'named') run('push', image);
  else loadIntoNodes(builder, image);
  return { repository, tag };
}

function inspection(builder: string): string[] {
  return builder === 'buildah'
    ? ['--type', 'image', '--format', '{{.FromImageID}}']
    : ['--format', '{{.Id}}'];
}

function loadIntoNodes(builder: string, image: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'longshore-image-'));
  const archive = join(folder, 'image.tar');
  try {
    const args =
      builder === 'buildah'
        ? ['push', '--quiet', image, `docker-archive:${archive}:${image}`]
        : ['save', '--output', archive, image];
    execFileSync(builder, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    loadImages([archive]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
