import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findKubeAssets } from '../../hack/kube/local-apiserver.ts';

const CRDS = fileURLToPath(new URL('../../k8s/crds', import.meta.url));

/** `kubectl` against one API server; rejects with what it wrote to its standard error. */
export type Kubectl = (args: readonly string[], stdin?: string) => Promise<string>;

export async function createKubectl(kubeconfigPath: string): Promise<Kubectl> {
  const path = `${await findKubeAssets()}/kubectl`;
  return async (args, stdin) => {
    const running = promisify(execFile)(path, [`--kubeconfig=${kubeconfigPath}`, ...args], {
      timeout: 60_000,
    });
    running.child.stdin?.end(stdin ?? '');
    return (await running).stdout;
  };
}

/** Installs the kinds of Longshore and waits until the API server serves them. */
export async function installCrds(kubectl: Kubectl): Promise<void> {
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', CRDS]);
  await kubectl(['wait', '--for=condition=Established', '--timeout=30s', '-f', CRDS]);
}
