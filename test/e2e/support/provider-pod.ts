/** What the stand-in for Etherscan consists of, by its paths in the repository. */
export const PROVIDER_FILES = [
  'test/support/fake-etherscan.ts',
  'test/support/fake-provider.ts',
  'test/support/fake-contracts.ts',
  'examples/contracts/HarbourToken.sol',
  'examples/contracts/access/Owned.sol',
  'examples/contracts/interfaces/IToken.sol',
  'examples/contracts/libraries/Berths.sol',
];

/** The stand-in as a pod that other pods reach: its sources in a ConfigMap, run by the Node.js of our image. */
export function providerManifests(image: string, files: Record<string, string>): object[] {
  const labels = { app: 'etherscan' };
  const toKey = (path: string) => path.replaceAll('/', '_');
  const data = Object.fromEntries(Object.entries(files).map(([path, text]) => [toKey(path), text]));
  const items = Object.keys(files).map((path) => ({ key: toKey(path), path }));
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'etherscan' },
      data: { ...data, 'package.json': '{"type":"module"}' },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'etherscan' },
      spec: { selector: labels, ports: [{ port: 8080 }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'etherscan', labels },
      spec: {
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'etherscan',
            image,
            command: ['node', '/stand-in/test/support/fake-etherscan.ts'],
            args: ['--host', '0.0.0.0', '--port', '8080', '--unlimited'],
            ports: [{ containerPort: 8080 }],
            readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
            volumeMounts: [{ name: 'sources', mountPath: '/stand-in' }],
          },
        ],
        volumes: [
          {
            name: 'sources',
            configMap: {
              name: 'etherscan',
              items: [...items, { key: 'package.json', path: 'package.json' }],
            },
          },
        ],
      },
    },
  ];
}
