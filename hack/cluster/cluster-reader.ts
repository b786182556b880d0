import { KubeTransport } from '../../src/kube/kube-transport.ts';

/** A value of one metric with its labels, as `/metrics` shows it. */
export interface MetricSample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** Reads from the API server what is no object: its own metrics, and those of pods through it. */
export class ClusterReader {
  readonly #transport: KubeTransport;

  constructor(kubeconfigPath: string) {
    this.#transport = new KubeTransport({ kubeconfigPath, userAgent: 'longshore-reader' });
  }

  async text(path: string, timeoutMs = 10_000): Promise<string> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await this.#transport.openStream(
      path,
      undefined,
      AbortSignal.timeout(timeoutMs),
      timeoutMs,
    ))
      chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }

  /** The metrics of the API server whose names start with `prefix`. */
  async metrics(prefix: string): Promise<MetricSample[]> {
    return parseMetrics(await this.text('/metrics'), prefix);
  }

  /** The metrics of a pod of ours; none when it cannot be reached, as one that starts or goes. */
  async podMetrics(namespace: string, pod: string, prefix: string): Promise<MetricSample[]> {
    const path = `/api/v1/namespaces/${namespace}/pods/${pod}:8081/proxy/metrics`;
    return this.text(path, 3_000).then(
      (text) => parseMetrics(text, prefix),
      () => [],
    );
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** Lines of Prometheus' text format whose names start with `prefix`. */
export function parseMetrics(text: string, prefix: string): MetricSample[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith(prefix))
    .flatMap((line) => {
      const [, name, labels = '', value] = LINE.exec(line) ?? [];
      if (name === undefined || value === undefined) return [];
      const pairs = [...labels.matchAll(LABEL)].map(([, key = '', content = '']) => [key, content]);
      return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
    });
}

/** The sum of those of one name whose labels fit. */
export function sumOf(
  samples: readonly MetricSample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return samples
    .filter(
      (sample) =>
        sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    )
    .reduce((sum, { value }) => sum + value, 0);
}
