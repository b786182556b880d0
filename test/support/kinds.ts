import { afterAll, beforeAll } from 'vitest';
import { API_VERSION } from '../../src/core/kinds/meta.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { KubeApiError } from '../../src/kube/kube-api-error.ts';
import {
  collectionPath,
  type KubeObject,
  objectPath,
  type ResourceType,
} from '../../src/kube/resource-type.ts';
import { createKubectl, installCrds, type Kubectl } from './crds.ts';
import { ownKubeApiserver, type SharedKubeApiserver, sharedKubeApiserver } from './kube-apiserver.ts';

export interface Custom extends KubeObject {
  spec: Record<string, unknown>;
}

export interface KindsWorld {
  /** Of this file alone. */
  readonly namespace: string;
  kubeconfigPath: string;
  client: KubeClient;
  kubectl: Kubectl;
  manifest(type: ResourceType, name: string, spec: object): Custom;
  /** What the API server says to an object, without keeping it; `ok` when it would take it. */
  tryCreate(type: ResourceType, spec: object): Promise<string>;
  /** The same of a change of an object that is there. */
  tryReplace(type: ResourceType, object: Custom): Promise<string>;
}

export interface UseKindsOptions {
  /** A server of the file's own, for tests that make what has no namespace. Defaults to false. */
  ownServer?: boolean;
}

/** An API server with Longshore's kinds and a namespace, for the tests of the calling file; usable once they run. */
export function useKinds(prefix: string, { ownServer = false }: UseKindsOptions = {}): KindsWorld {
  const namespace = `${prefix}-${process.pid}`;
  let server: SharedKubeApiserver | undefined;

  const dryRun = async (method: 'POST' | 'PUT', path: string, body: object): Promise<string> => {
    try {
      await world.client.request({ method, path, query: { dryRun: 'All', fieldValidation: 'Strict' }, body });
      return 'ok';
    } catch (error) {
      if (error instanceof KubeApiError && (error.status === 422 || error.status === 400))
        return error.message;
      throw error;
    }
  };
  const manifest = (type: ResourceType, name: string, spec: object): Custom => ({
    apiVersion: API_VERSION,
    kind: type.kind,
    metadata: { name, namespace },
    spec: { ...spec },
  });
  const world = {
    namespace,
    manifest,
    tryCreate: (type, spec) => dryRun('POST', collectionPath(type, namespace), manifest(type, 'tried', spec)),
    tryReplace: (type, object) => dryRun('PUT', objectPath(type, object.metadata), object),
  } as KindsWorld;

  beforeAll(async () => {
    server = ownServer ? await ownKubeApiserver() : await sharedKubeApiserver();
    world.kubeconfigPath = server.kubeconfigPath;
    world.client = new KubeClient({ kubeconfigPath: server.kubeconfigPath, fieldManager: 'kinds-test' });
    world.kubectl = await createKubectl(server.kubeconfigPath);
    await installCrds(world.kubectl);
    await world.kubectl(['create', 'namespace', namespace]);
  });

  afterAll(async () => {
    await world.kubectl?.(['delete', 'namespace', namespace, '--wait=false']);
    await world.client?.close();
    await server?.release();
  });
  return world;
}
