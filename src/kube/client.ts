import type { KubeRequest, KubeRequestReport } from './kube-transport.ts';
import { KubeTransport, toKubeApiError } from './kube-transport.ts';
import {
  apiVersionOf,
  collectionPath,
  type KubeObject,
  type ObjectRef,
  objectPath,
  type ResourceType,
} from './resource-type.ts';
import { parseWatchStream, type WatchEvent } from './watch-stream.ts';

export interface KubeClientOptions {
  /** Defaults to `KUBECONFIG`, `~/.kube/config`, then the pod's service account. */
  kubeconfigPath?: string | undefined;
  /** Names this component to the API server: field manager and user agent, such as `longshore-controller`. */
  fieldManager: string;
  /** Deadline of a call over all its attempts. Defaults to 10,000. */
  timeoutMs?: number | undefined;
  /** Connections for requests; watches have their own. Defaults to 8. */
  connections?: number | undefined;
  /** Told of each attempt of each call but watches. */
  onRequest?: ((report: KubeRequestReport) => void) | undefined;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
}

export interface ListOptions extends CallOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Objects of one page. Defaults to 500. */
  limit?: number | undefined;
  continueToken?: string | undefined;
}

export interface ListPage<T> {
  items: T[];
  resourceVersion: string;
  /** Present while there are more pages; expires (410) after some minutes. */
  continueToken: string | undefined;
}

export interface ApplyOptions extends CallOptions {
  /** Takes fields over that others own, instead of a conflict. Defaults to true. */
  force?: boolean | undefined;
  /** Who owns the fields. Defaults to the client's. */
  fieldManager?: string | undefined;
  subresource?: 'status' | undefined;
}

export interface DeleteOptions extends CallOptions {
  /** Refused with a conflict when the object of this name is another one by now. */
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  /** Defaults to `Background`. */
  propagation?: 'Background' | 'Foreground' | 'Orphan' | undefined;
}

export interface WatchOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion: string;
  /** The API server ends the stream after this. Defaults to 300. */
  timeoutSeconds?: number | undefined;
  /** Ends a silent stream. Defaults to 90,000: bookmarks come every minute. */
  idleTimeoutMs?: number | undefined;
  signal: AbortSignal;
}

interface RawList<T> {
  metadata: { resourceVersion?: string; continue?: string };
  items: T[];
}

/** Answers of a delete: the object while finalizers or propagation hold it, else a `Status`. */
export type PatchBody = Record<string, unknown>;

/**
 * Typed calls to the API server. All reject with a `KubeApiError` (`isNotFound`, `isConflict`… tell which), or with the
 * signal's reason once the caller aborts.
 */
export class KubeClient {
  readonly #transport: KubeTransport;
  readonly #fieldManager: string;

  constructor(options: KubeClientOptions) {
    this.#fieldManager = options.fieldManager;
    this.#transport = new KubeTransport({ ...options, userAgent: options.fieldManager });
  }

  /** The namespace of the kubeconfig's context or the pod's service account. */
  get namespace(): string | undefined {
    return this.#transport.namespace;
  }

  get<T extends KubeObject>(type: ResourceType, ref: ObjectRef, options: CallOptions = {}): Promise<T> {
    return this.request<T>({ ...options, method: 'GET', path: objectPath(type, ref) });
  }

  /** One page, consistent as of now. */
  async list<T extends KubeObject>(type: ResourceType, options: ListOptions = {}): Promise<ListPage<T>> {
    const { namespace, labelSelector, fieldSelector, limit = 500, continueToken, ...call } = options;
    const list = await this.request<RawList<T>>({
      ...call,
      method: 'GET',
      path: collectionPath(type, namespace),
      query: { labelSelector, fieldSelector, limit, continue: continueToken },
    });
    const next = list.metadata.continue;
    return {
      items: list.items ?? [],
      resourceVersion: list.metadata.resourceVersion ?? '',
      continueToken: next === '' ? undefined : next,
    };
  }

  /** Page after page; throws a gone error when a continue token expires on the way. */
  async *listPages<T extends KubeObject>(
    type: ResourceType,
    options: ListOptions = {},
  ): AsyncGenerator<ListPage<T>> {
    let continueToken = options.continueToken;
    do {
      const page: ListPage<T> = await this.list<T>(type, { ...options, continueToken });
      yield page;
      continueToken = page.continueToken;
    } while (continueToken !== undefined);
  }

  create<T extends KubeObject>(
    type: ResourceType,
    object: T,
    options: CallOptions & { namespace?: string | undefined } = {},
  ): Promise<T> {
    const { namespace = object.metadata.namespace, ...call } = options;
    if (type.namespaced && namespace === undefined)
      throw new TypeError(`A ${type.kind} has a namespace; none was given`);
    const path = collectionPath(type, namespace);
    const body = { ...object, apiVersion: apiVersionOf(type), kind: type.kind };
    return this.request<T>({
      ...call,
      method: 'POST',
      path,
      body,
      query: { fieldManager: this.#fieldManager },
    });
  }

  /** A conflict when `metadata.resourceVersion` is set and not current any more. */
  replace<T extends KubeObject>(
    type: ResourceType,
    object: T,
    options: CallOptions & { subresource?: 'status' | undefined } = {},
  ): Promise<T> {
    const { subresource, ...call } = options;
    const path = objectPath(type, object.metadata, subresource);
    const body = { ...object, apiVersion: apiVersionOf(type), kind: type.kind };
    return this.request<T>({
      ...call,
      method: 'PUT',
      path,
      body,
      query: { fieldManager: this.#fieldManager },
    });
  }

  /** JSON merge patch; put `metadata.resourceVersion` into it to make it conditional. */
  patchMerge<T extends KubeObject>(
    type: ResourceType,
    ref: ObjectRef,
    patch: PatchBody,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#patch<T>(objectPath(type, ref), patch, 'application/merge-patch+json', options);
  }

  /** JSON merge patch of the status alone: `patch` is `{ status: … }`, with `metadata.uid` or `.resourceVersion` as condition. */
  patchStatusMerge<T extends KubeObject>(
    type: ResourceType,
    ref: ObjectRef,
    patch: PatchBody,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#patch<T>(objectPath(type, ref, 'status'), patch, 'application/merge-patch+json', options);
  }

  /**
   * Server-side apply of the fields we own; those that we sent before and leave out now are removed.
   *
   * @param object - Without `managedFields`, `resourceVersion` and whatever others own.
   */
  applySsa<T extends KubeObject>(
    type: ResourceType,
    object: KubeObject & PatchBody,
    options: ApplyOptions = {},
  ): Promise<T> {
    const { force = true, fieldManager = this.#fieldManager, subresource, ...call } = options;
    const body = { ...object, apiVersion: apiVersionOf(type), kind: type.kind };
    const path = objectPath(type, object.metadata, subresource);
    const query = { fieldManager, force };
    const contentType = 'application/apply-patch+yaml';
    return this.request<T>({ ...call, method: 'PATCH', path, body, contentType, query });
  }

  async delete(type: ResourceType, ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, propagation = 'Background', ...call } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: propagation,
      preconditions: { uid, resourceVersion },
    };
    await this.request({ ...call, method: 'DELETE', path: objectPath(type, ref), body });
  }

  /** One call that deletes all that match; without a selector everything of that type in the namespace. */
  async deleteCollection(
    type: ResourceType,
    options: CallOptions & {
      namespace: string;
      labelSelector?: string | undefined;
      fieldSelector?: string | undefined;
    },
  ): Promise<void> {
    const { namespace, labelSelector, fieldSelector, ...call } = options;
    const path = collectionPath(type, namespace);
    await this.request({ ...call, method: 'DELETE', path, query: { labelSelector, fieldSelector } });
  }

  /** Events since a resourceVersion until the stream ends; throws when it breaks, and a gone error when it is too old. */
  async *watch<T extends KubeObject>(
    type: ResourceType,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>, void, void> {
    const { namespace, timeoutSeconds = 300, idleTimeoutMs = 90_000, signal, ...selection } = options;
    const query = { ...selection, watch: true, allowWatchBookmarks: true, timeoutSeconds };
    const body = await this.#transport.openStream(
      collectionPath(type, namespace),
      query,
      signal,
      idleTimeoutMs,
    );
    try {
      yield* parseWatchStream<T>(body);
    } catch (error) {
      signal.throwIfAborted();
      throw toKubeApiError(error);
    }
  }

  /** Any other call, such as to `/readyz` or `/apis`. */
  request<T>(request: KubeRequest): Promise<T> {
    return this.#transport.request<T>(request);
  }

  /** Breaks off whatever is under way. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  #patch<T>(path: string, body: object, contentType: string, call: CallOptions): Promise<T> {
    const query = { fieldManager: this.#fieldManager };
    return this.request<T>({ ...call, method: 'PATCH', path, body, contentType, query });
  }
}

/** Reads the kubeconfig at once; connects at the first call. Throws when there is no cluster to be found. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  return new KubeClient(options);
}
