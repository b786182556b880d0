/**
 * Builds the image and installs or upgrades the release `longshore` with it, in the local cluster or in the one that
 * CONTEXT names; prints where it can be reached. With `--remove` it takes the release away again.
 *
 *   [CONTEXT=name IMAGE=registry/longshore] [NAMESPACE=longshore] node hack/cluster/deploy.ts [--remove]
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findHelm } from '../helm.ts';
import { provideImage } from './provide-image.ts';
import { findTarget, helmIn, type Target, valuesOf } from './target.ts';

const here = import.meta.dirname;
const namespace = process.env.NAMESPACE ?? 'longshore';
const { values } = parseArgs({ options: { remove: { type: 'boolean', default: false } } });

try {
  await (values.remove ? remove() : deploy());
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}

async function deploy(): Promise<void> {
  const target = findTarget();
  const image = provideImage(target);
  process.stderr.write(`Installing ${image.repository}:${image.tag} into namespace ${namespace}\n`);
  helmIn(target, await findHelm(), namespace).run(
    ...['upgrade', '--install', 'longshore', join(here, '../../charts/longshore')],
    ...['--create-namespace', '--wait', '--timeout', '5m', ...valuesOf(target)],
    ...['--set', `image.repository=${image.repository},image.tag=${image.tag}`],
  );
  printNextSteps(target);
}

/** What runs is drained by the chart's own hook. */
async function remove(): Promise<void> {
  process.stderr.write(`Removing Longshore from namespace ${namespace}\n`);
  const { run } = helmIn(findTarget(), await findHelm(), namespace);
  run('uninstall', 'longshore', '--ignore-not-found', '--wait', '--timeout', '5m');
  process.stdout.write(`
The volumes and Secrets of the bundled databases are still there, so that a new installation finds its jobs. To be rid of them:

  kubectl delete namespace ${namespace}
`);
}

function printNextSteps({ engine, kubeconfig }: Target): void {
  process.stdout.write(`
Longshore runs. The page and the API are at ${engine === 'named' ? 'NodePort 30080 of a node' : 'http://127.0.0.1:30080'}

  export KUBECONFIG=${kubeconfig}
  kubectl get workerpools,queuejobs --all-namespaces
  kubectl --namespace ${namespace} exec service/longshore-api -- longshore api-key create me --namespace ${namespace}
  kubectl --namespace ${namespace} apply --filename examples/kubernetes/contract-source.yaml

make deploy again brings changed sources into it, make undeploy takes it away${engine === 'named' ? '' : ', make cluster-down ends the cluster'}.
`);
}
