import type { TestProject } from 'vitest/node';
import { install, type Site } from '../../hack/cluster/installation.ts';
import { BOT_TOKEN } from '../support/fake-telegram.ts';
import { PROVIDER_POD, providerManifests, providerUrl } from './support/provider-pod.ts';

const NAME = 'e2e';
const BOT_SECRET = 'telegram';

/**
 * Installs the chart as a newcomer would, `--wait --atomic` with the bundled databases, into namespaces of its own in
 * the local cluster or in the one that CONTEXT names, and takes all of it away at the end (unless E2E_KEEP is set).
 */
export default async function setup(project: TestProject): Promise<() => void> {
  const jobs = `longshore-${NAME}-jobs`;
  const { target, remove, ...installed } = await install({
    name: NAME,
    nodePort: 30_081,
    fresh: true,
    prepare,
    values: {
      'api.replicas': 2,
      'config.LONGSHORE_ETHERSCAN_URL': `${providerUrl(jobs, 'etherscan')}/v2/api`,
      'config.LONGSHORE_BINANCE_URL': providerUrl(jobs, 'binance'),
      'config.LONGSHORE_COINGECKO_URL': providerUrl(jobs, 'coingecko'),
      'config.LONGSHORE_BOT_API_URL': providerUrl(jobs, 'telegram'),
      'config.LONGSHORE_BOT_NAMESPACE': jobs,
      'bot.enabled': 'true',
      'bot.existingSecret': BOT_SECRET,
    },
    onStep: (what) => process.stderr.write(`${what}\n`),
  });
  const { url, image, customImage, prefix, systemNamespace, namespace, token } = installed;
  project.provide('installed', {
    ...{ url, image, customImage, prefix, systemNamespace, namespace, token },
    kubeconfig: target.kubeconfig,
    engine: target.engine,
    release: NAME,
  });
  return () => {
    if (process.env.E2E_KEEP === undefined) remove();
  };
}

async function prepare({ kubectl, system, image }: Site): Promise<void> {
  await kubectl.apply(...providerManifests(image));
  await kubectl.waitFor('condition=Ready', `pod/${PROVIDER_POD}`, 60);
  await system.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: BOT_SECRET },
    stringData: { token: BOT_TOKEN },
  });
}
