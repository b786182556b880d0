import type { Logger } from '../core/logger.ts';
import { type KubeObject, objectKey } from './resource-type.ts';

export interface StoreChange<T> {
  key: string;
  /** Absent when the object is new here. */
  before: T | undefined;
  /** Absent when the object is gone. */
  after: T | undefined;
}

export type StoreHandler<T> = (change: StoreChange<T>) => void;

/** The values under which an object is found in an index; none leaves it out. */
export type IndexFunction<T> = (object: T) => readonly string[];

export interface ObjectStoreOptions<T> {
  indexes?: Record<string, IndexFunction<T>>;
  logger: Logger;
}

interface Index<T> {
  of: IndexFunction<T>;
  keys: Map<string, Set<string>>;
}

/**
 * What a reflector has seen of one type, by key and by named index. Objects belong to the store: whoever wants to change
 * one makes a copy.
 */
export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #handlers = new Set<StoreHandler<T>>();
  readonly #logger: Logger;

  constructor(options: ObjectStoreOptions<T>) {
    this.#logger = options.logger;
    for (const [name, of] of Object.entries(options.indexes ?? {}))
      this.#indexes.set(name, { of, keys: new Map() });
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  /** The objects under one value of an index. Throws for an index that was not declared. */
  byIndex(name: string, value: string): T[] {
    const found: T[] = [];
    for (const key of this.#index(name).keys.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  /** How many objects are under one value of an index. */
  countByIndex(name: string, value: string): number {
    return this.#index(name).keys.get(value)?.size ?? 0;
  }

  /** Tells `handler` of each change from now on; answers a function that ends it. A handler that throws is logged. */
  onChange(handler: StoreHandler<T>): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** @returns Whether this was news: a resourceVersion that the store did not hold. */
  upsert(object: T): boolean {
    const key = objectKey(object);
    const before = this.#objects.get(key);
    const version = object.metadata.resourceVersion;
    if (before !== undefined && version !== undefined && before.metadata.resourceVersion === version)
      return false;
    this.#set(key, before, object);
    return true;
  }

  /** @returns Whether the object was there. */
  remove(key: string): boolean {
    const before = this.#objects.get(key);
    if (before === undefined) return false;
    this.#set(key, before, undefined);
    return true;
  }

  /** Makes the store hold these objects and no others. @returns How many objects changed. */
  replaceAll(objects: readonly T[]): number {
    let changed = 0;
    const present = new Set<string>();
    for (const object of objects) {
      present.add(objectKey(object));
      if (this.upsert(object)) changed += 1;
    }
    for (const key of [...this.#objects.keys()]) {
      if (!present.has(key) && this.remove(key)) changed += 1;
    }
    return changed;
  }

  #index(name: string): Index<T> {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new TypeError(`The store has no index "${name}"`);
    return index;
  }

  #set(key: string, before: T | undefined, after: T | undefined): void {
    if (after === undefined) this.#objects.delete(key);
    else this.#objects.set(key, after);
    for (const index of this.#indexes.values()) this.#reindex(index, key, before, after);
    for (const handler of this.#handlers) {
      try {
        handler({ key, before, after });
      } catch (error) {
        this.#logger.error({ err: error, key }, 'Store handler failed');
      }
    }
  }

  #reindex(index: Index<T>, key: string, before: T | undefined, after: T | undefined): void {
    for (const value of before === undefined ? [] : index.of(before)) {
      const keys = index.keys.get(value);
      keys?.delete(key);
      if (keys?.size === 0) index.keys.delete(value);
    }
    for (const value of after === undefined ? [] : index.of(after)) {
      const keys = index.keys.get(value);
      if (keys === undefined) index.keys.set(value, new Set([key]));
      else keys.add(key);
    }
  }
}

/** The usual index: the objects of a namespace. */
export function byNamespace(object: KubeObject): readonly string[] {
  return [object.metadata.namespace ?? ''];
}

/** The objects that a controller object owns, by its uid. */
export function byOwnerUid(object: KubeObject): readonly string[] {
  return (object.metadata.ownerReferences ?? [])
    .filter((owner) => owner.controller === true)
    .map((owner) => owner.uid);
}
