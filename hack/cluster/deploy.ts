/**
 * Builds the image and installs or upgrades the release `longshore` with it, in the local cluster or in the one that
 * CONTEXT names; prints where it can be reached.
 *
 *   [CONTEXT=name IMAGE=registry/longshore] [NAMESPACE=longshore] node hack/cluster/deploy.ts
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { findHelm } from '../helm.ts';
import { provideImage } from './provide-image.ts';
import { findTarget, type Target } from './target.ts';

const here = import.meta.dirname;
const namespace = process.env.NAMESPACE ?? 'longshore';

try {
  await deploy();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}

async function deploy(): Promise<void> {
  const target = findTarget();
  const image = provideImage(target);
  const values = ['values-dev.yaml', ...(target.engine === 'bare' ? ['values-bare.yaml'] : [])];
  process.stderr.write(`Installing ${image.repository}:${image.tag} into namespace ${namespace}\n`);
  execFileSync(
    await findHelm(),
    [
      ...['upgrade', '--install', 'longshore', join(here, '../../charts/longshore')],
      ...['--namespace', namespace, '--create-namespace', '--wait', '--timeout', '5m'],
      ...values.flatMap((file) => ['--values', join(here, file)]),
      ...['--set', `image.repository=${image.repository},image.tag=${image.tag}`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, KUBECONFIG: target.kubeconfig } },
  );
  printNextSteps(target);
}

function printNextSteps({ engine, kubeconfig }: Target): void {
  process.stdout.write(`
Longshore runs. The page and the API are at ${engine === 'named' ? 'NodePort 30080 of a node' : 'http://127.0.0.1:30080'}

  export KUBECONFIG=${kubeconfig}
  kubectl get workerpools,queuejobs --all-namespaces
  kubectl --namespace ${namespace} exec deployment/longshore-api -- longshore api-key create me --namespace ${namespace}
  kubectl --namespace ${namespace} apply --filename examples/kubernetes/contract-source.yaml

make deploy again brings changed sources into it${engine === 'named' ? '' : '; make cluster-down ends the cluster'}.
`);
}
