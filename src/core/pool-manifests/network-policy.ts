import ipaddr from 'ipaddr.js';
import { selectorLabels } from './names.ts';
import { HEALTH_PORT, type PoolSettings } from './settings.ts';

const DNS_PORT = 53;

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  'postgres:': 5_432,
  'postgresql:': 5_432,
  'redis:': 6_379,
  'rediss:': 6_379,
  'http:': 80,
  'https:': 443,
};

/**
 * What a pool's pods may reach: names, the ledger, Redis and the upstreams' ports; and who reaches them: whoever collects
 * their metrics. A policy knows addresses and ports, no names, so a host given by name is limited by its port alone.
 */
export function networkPolicySpec(pool: string, settings: PoolSettings): object {
  const upstreams = settings.egressPorts.map((port) => ({ port, protocol: 'TCP' }));
  return {
    podSelector: { matchLabels: selectorLabels(pool) },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ ports: [{ port: HEALTH_PORT, protocol: 'TCP' }] }],
    egress: [
      {
        ports: [
          { port: DNS_PORT, protocol: 'UDP' },
          { port: DNS_PORT, protocol: 'TCP' },
        ],
      },
      ...[settings.workerPostgresUrl, settings.redisUrl].flatMap(toStore),
      ...(upstreams.length === 0 ? [] : [{ ports: upstreams }]),
    ],
  };
}

/** The TCP port that a URL means; null when it cannot be told. */
export function portOf(text: string): number | null {
  const url = URL.parse(text);
  if (url === null) return null;
  return url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? null) : Number(url.port);
}

function toStore(text: string): object[] {
  const port = portOf(text);
  if (port === null) return [];
  const host = URL.parse(text)?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const ports = [{ port, protocol: 'TCP' }];
  if (!ipaddr.isValid(host)) return [{ ports }];
  const cidr = `${host}/${ipaddr.parse(host).kind() === 'ipv4' ? 32 : 128}`;
  return [{ to: [{ ipBlock: { cidr } }], ports }];
}
