import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
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
  const builder = builderFor(target, env);
  const repository = env.IMAGE ?? 'localhost/longshore';
  if (target.engine === 'named' && env.IMAGE === undefined) {
    throw new Error('CONTEXT names a cluster of yours: name a repository it pulls from with IMAGE=...');
  }
  const base = target.engine === 'bare' ? { BASE_IMAGE: 'localhost/node:24' } : {};
  execFileSync('node', [join(import.meta.dirname, '../image.ts')], {
    stdio: ['ignore', 2, 2],
    env: { ...env, ...base, BUILDER: builder, IMAGE: `${repository}:dev` },
  });
  const tag = tagByContent(builder, `${repository}:dev`);
  bring(target, builder, `${repository}:${tag}`);
  return { repository, tag };
}

/** Builds `folder` on top of an image that was provided, and brings it to the same place; answers its name. */
export function provideCustomImage(
  target: Target,
  base: string,
  folder: string,
  env: NodeJS.ProcessEnv = process.env,
): string {
  const builder = builderFor(target, env);
  const repository = `${env.IMAGE ?? 'localhost/longshore'}-${basename(folder)}`;
  execFileSync(
    builder,
    [
      'build',
      '--network',
      'host',
      '--tag',
      `${repository}:dev`,
      '--build-arg',
      `LONGSHORE_IMAGE=${base}`,
      folder,
    ],
    { stdio: ['ignore', 2, 2] },
  );
  const image = `${repository}:${tagByContent(builder, `${repository}:dev`)}`;
  bring(target, builder, image);
  return image;
}

/** The nodes of the bare cluster have what buildah made; those of kind are Docker's. */
function builderFor(target: Target, env: NodeJS.ProcessEnv): string {
  return target.engine === 'bare' ? 'buildah' : (env.BUILDER ?? 'docker');
}

function tagByContent(builder: string, image: string): string {
  const id = execFileSync(builder, ['inspect', ...inspection(builder), image], { encoding: 'utf8' }).trim();
  const tag = `dev-${id.replace('sha256:', '').slice(0, 12)}`;
  execFileSync(builder, ['tag', image, image.replace(/:dev$/, `:${tag}`)]);
  return tag;
}

function bring(target: Target, builder: string, image: string): void {
  if (target.engine === 'named') execFileSync(builder, ['push', image], { stdio: ['ignore', 2, 2] });
  else loadIntoNodes(builder, image);
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
