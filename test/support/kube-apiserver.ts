import { readFile } from 'node:fs/promises';
import { type LocalApiserver, startLocalApiserver } from '../../hack/kube/local-apiserver.ts';

export {
  type LocalApiserver,
  startLocalApiserver as startKubeApiserver,
} from '../../hack/kube/local-apiserver.ts';

/** The API server that a test run shares: where it is and how to leave it. */
export interface SharedKubeApiserver {
  kubeconfigPath: string;
  url: string;
  token: string;
  /** Ends it when this process started it; otherwise nothing. */
  release(): Promise<void>;
}

let started: Promise<LocalApiserver> | undefined;

/**
 * The one that the global set-up named in `LONGSHORE_TEST_KUBECONFIG`, else one of this process. Tests share it, so each
 * uses a namespace of its own.
 */
export async function sharedKubeApiserver(): Promise<SharedKubeApiserver> {
  const kubeconfigPath = process.env.LONGSHORE_TEST_KUBECONFIG;
  if (kubeconfigPath !== undefined && kubeconfigPath !== '') {
    const config = JSON.parse(await readFile(kubeconfigPath, 'utf8')) as {
      clusters: { cluster: { server: string } }[];
      users: { user: { token: string } }[];
    };
    const url = config.clusters[0]?.cluster.server ?? '';
    const token = config.users[0]?.user.token ?? '';
    return { kubeconfigPath, url, token, release: async () => {} };
  }
  started ??= startLocalApiserver();
  const { kubeconfigPath: path, url, token, stop } = await started;
  const release = async (): Promise<void> => {
    started = undefined;
    await stop();
  };
  return { kubeconfigPath: path, url, token, release };
}

/** One that nobody else uses. */
export async function ownKubeApiserver(): Promise<SharedKubeApiserver> {
  const { kubeconfigPath, url, token, stop } = await startLocalApiserver();
  return { kubeconfigPath, url, token, release: stop };
}
