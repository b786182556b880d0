import { readFileSync } from 'node:fs';

const ROOT = new URL('../../../', import.meta.url);

/** Where the stand-ins listen. */
export const PORTS = { control: 8080, etherscan: 8081, binance: 8082, coingecko: 8083, telegram: 8084 };
export const PROVIDER_POD = 'providers';

/** What the stand-ins consist of, by their paths in the repository. */
const FILES = [
  'test/e2e/support/providers.ts',
  'test/e2e/support/provider-pod.ts',
  'test/support/fake-binance.ts',
  'test/support/fake-coingecko.ts',
  'test/support/fake-rate-provider.ts',
  'test/support/fake-telegram.ts',
  'test/support/fake-etherscan.ts',
  'test/support/fake-provider.ts',
  'test/support/fake-contracts.ts',
  'examples/contracts/HarbourToken.sol',
  'examples/contracts/access/Owned.sol',
  'examples/contracts/interfaces/IToken.sol',
  'examples/contracts/libraries/Berths.sol',
];

/** As pods of the cluster reach a stand-in. */
export function providerUrl(namespace: string, provider: keyof typeof PORTS): string {
  return `http://${PROVIDER_POD}.${namespace}.svc:${PORTS[provider]}`;
}

/** The stand-ins as a pod that other pods reach: their sources in a ConfigMap, run by the Node.js of our image. */
export function providerManifests(image: string): object[] {
  const metadata = { name: PROVIDER_POD };
  const labels = { app: PROVIDER_POD };
  const toKey = (path: string) => path.replaceAll('/', '_');
  const data = Object.fromEntries(
    FILES.map((path) => [toKey(path), readFileSync(new URL(path, ROOT), 'utf8')]),
  );
  const items = FILES.map((path) => ({ key: toKey(path), path }));
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata,
      data: { ...data, 'package.json': '{"type":"module"}' },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: Object.entries(PORTS).map(([name, port]) => ({ name, port })) },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, labels },
      spec: {
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: PROVIDER_POD,
            image,
            command: ['node', '/stand-in/test/e2e/support/providers.ts'],
            readinessProbe: { tcpSocket: { port: PORTS.control }, periodSeconds: 1 },
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
            volumeMounts: [{ name: 'sources', mountPath: '/stand-in' }],
          },
        ],
        volumes: [
          {
            name: 'sources',
            configMap: {
              name: PROVIDER_POD,
              items: [...items, { key: 'package.json', path: 'package.json' }],
            },
          },
        ],
      },
    },
  ];
}
