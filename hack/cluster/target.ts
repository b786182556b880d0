import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const CLUSTER = join(import.meta.dirname, 'cluster');

/** The cluster that something is installed into. */
export interface Target {
  /** Holds one context, which is the current one: whoever has this file can mean no other cluster. */
  kubeconfig: string;
  /** `named`: a cluster of the user's; the others are of our making. */
  engine: 'bare' | 'kind' | 'named';
}

/**
 * The cluster of the context in `CONTEXT`; without it the local one, which is started. Throws where KUBECONFIG names
 * another cluster and CONTEXT does not: nothing is installed where nobody said so.
 */
export function findTarget(env: NodeJS.ProcessEnv = process.env): Target {
  if (env.CONTEXT) return { kubeconfig: keepContext(env.CONTEXT), engine: 'named' };
  const kubeconfig = clusterOutput('kubeconfig');
  if (env.KUBECONFIG && resolve(env.KUBECONFIG) !== kubeconfig) {
    throw new Error(
      `KUBECONFIG is ${env.KUBECONFIG}: name the context to use with CONTEXT=..., or unset KUBECONFIG for the local cluster`,
    );
  }
  execFileSync(CLUSTER, ['up'], { stdio: 'inherit' });
  const engine = clusterOutput('engine');
  if (engine !== 'bare' && engine !== 'kind') throw new Error(`Unknown kind of cluster: ${engine}`);
  return { kubeconfig, engine };
}

/** Arguments for Helm: the values that an installation for this machine has. */
export function valuesOf({ engine }: Target): string[] {
  const files = ['values-dev.yaml', ...(engine === 'bare' ? ['values-bare.yaml'] : [])];
  return files.flatMap((file) => ['--values', join(import.meta.dirname, file)]);
}

/** Helm on one namespace of the cluster. `run` throws when it fails, with its errors shown; `tries` answers what it printed. */
export function helmIn({ kubeconfig }: Target, helm: string, namespace: string) {
  const namespaced = ['--namespace', namespace];
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  return {
    run: (...args: string[]) =>
      execFileSync(helm, [...namespaced, ...args], { stdio: ['ignore', 'ignore', 'inherit'], env }),
    tries: (...args: string[]) =>
      spawnSync(helm, [...namespaced, ...args], { encoding: 'utf8', env }).stdout ?? '',
  };
}

/** Brings image archives into the nodes of a cluster of our making. */
export function loadImages(files: string[]): void {
  execFileSync(CLUSTER, ['load', ...files], { stdio: 'inherit' });
}

function clusterOutput(command: string): string {
  return execFileSync(CLUSTER, [command], { encoding: 'utf8' }).trim();
}

function keepContext(context: string): string {
  const config = execFileSync('kubectl', ['config', 'view', '--minify', '--flatten', '--context', context], {
    encoding: 'utf8',
  });
  const folder = join(import.meta.dirname, '../../.longshore');
  const file = join(folder, 'target.kubeconfig');
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, config, { mode: 0o600 });
  return file;
}
