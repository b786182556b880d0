import type { Command } from 'commander';
import { stringify } from 'yaml';
import { loadConfig } from '../config/config.ts';
import { CANCEL_JOB_FINALIZER, DRAIN_POOL_FINALIZER } from '../core/kinds/meta.ts';
import { QUEUE_JOB } from '../core/kinds/queue-job.ts';
import { customResourceDefinitions } from '../core/kinds/schema/crd.ts';
import { WORKER_POOL } from '../core/kinds/worker-pool.ts';
import type { KubeClient } from '../kube/client.ts';

const FINALIZERS = [
  { type: QUEUE_JOB, finalizer: CANCEL_JOB_FINALIZER },
  { type: WORKER_POOL, finalizer: DRAIN_POOL_FINALIZER },
] as const;

/** What an operator, or the chart's Jobs, do to the cluster itself. */
export function addClusterCommands(program: Command): void {
  const crds = program.command('crds').description('manage the kinds of Longshore in a cluster');
  crds
    .command('print')
    .description('print the CustomResourceDefinitions as YAML')
    .action(() => {
      const documents = customResourceDefinitions().map((crd) =>
        stringify(crd, { lineWidth: 0, aliasDuplicateObjects: false }),
      );
      console.log(documents.join('---\n').trimEnd());
    });
  crds
    .command('apply')
    .description('apply them, and wait until they are served')
    .option('--timeout <seconds>', 'how long all of it may take', '120')
    .action(async (options: { timeout: string }) => {
      const { applyCrds } = await import('../kube/apply-crds.ts');
      const all = customResourceDefinitions();
      await withCluster((client) => applyCrds(client, all, deadline(options.timeout)));
      for (const { metadata } of all) console.log(`Applied ${metadata.name}`);
    });
  program
    .command('finalizers')
    .description('manage what holds objects of Longshore back from deletion')
    .command('remove')
    .description('take them all away, before Longshore is uninstalled; jobs that run are not cancelled')
    .option('-n, --namespace <namespace>', 'in this namespace alone')
    .option('--stop <namespace/name>', 'Deployment of the controller, which is stopped first')
    .option('--timeout <seconds>', 'how long all of it may take', '180')
    .action(async (options: { namespace?: string; stop?: string; timeout: string }) => {
      const { removeFinalizers, stopDeployment } = await import('../kube/remove-finalizers.ts');
      const signal = deadline(options.timeout);
      await withCluster(async (client) => {
        const [namespace, name] = options.stop?.split('/') ?? [];
        if (name !== undefined) await stopDeployment(client, { namespace, name }, signal);
        for (const { type, finalizer } of FINALIZERS) {
          const found = { finalizer, namespace: options.namespace, signal };
          const count = await removeFinalizers(client, type, found);
          console.log(`Removed the finalizer ${finalizer} from ${count} ${type.plural}`);
        }
      });
    });
}

function deadline(seconds: string): AbortSignal {
  return AbortSignal.timeout(Number(seconds) * 1_000);
}

async function withCluster(work: (client: KubeClient) => Promise<void>): Promise<void> {
  const { kubeconfig } = loadConfig(process.env).kubernetes;
  const { createKubeClient } = await import('../kube/client.ts');
  const client = createKubeClient({
    ...(kubeconfig === '' ? {} : { kubeconfigPath: kubeconfig }),
    fieldManager: 'longshore-cli',
  });
  try {
    await work(client);
  } finally {
    await client.close();
  }
}
