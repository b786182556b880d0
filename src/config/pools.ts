import { z } from 'zod';
import { flag, integer, list, text } from './variable.ts';

const KUBERNETES_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const PORT = /^([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])$/;

/** What the controller needs to make pods of WorkerPools. */
export const pools = z.object({
  watchNamespace: text({
    env: 'LONGSHORE_WATCH_NAMESPACE',
    description: 'The one namespace whose QueueJobs, WorkerPools and JobSchedules are served. Not set: all.',
    pattern: KUBERNETES_NAME,
    allowed: 'a namespace name',
  }),
  scalerAddress: text({
    env: 'LONGSHORE_SCALER_ADDRESS',
    description:
      'Where KEDA reaches the scaler: `host:port`. Not set: `longshore-scaler.<LONGSHORE_POD_NAMESPACE>.svc:9091`.',
    pattern: /^[^\s/]+:\d{1,5}$/,
    allowed: '`host:port`',
  }),
  scalerAuthentication: text({
    env: 'LONGSHORE_SCALER_AUTHENTICATION',
    description:
      'A ClusterTriggerAuthentication with which KEDA speaks to the scaler. Not set: with TLS, each pool gets a TriggerAuthentication that trusts the certificate of the scaler.',
    pattern: /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/,
    allowed: 'the name of a ClusterTriggerAuthentication',
  }),
  defaultPoolsFile: text({
    env: 'LONGSHORE_DEFAULT_POOLS_FILE',
    description: 'YAML file of WorkerPools that the controller applies. Not set: none.',
    allowed: 'a path',
  }),
  connectionLimit: integer(
    {
      env: 'LONGSHORE_WORKER_CONNECTION_LIMIT',
      description:
        'Connections to PostgreSQL that all pools together may count on, for instance those of a pooler. 0: what PostgreSQL says it has.',
      default: '0',
      unit: 'connections',
    },
    0,
    1_000_000,
  ),
  connectionReserve: integer(
    {
      env: 'LONGSHORE_CONNECTION_RESERVE',
      description:
        'Connections that PostgreSQL keeps for API, controllers and people, where LONGSHORE_WORKER_CONNECTION_LIMIT is 0.',
      default: '40',
      unit: 'connections',
    },
    0,
    100_000,
  ),
  egressPorts: list({
    env: 'LONGSHORE_POOL_EGRESS_PORTS',
    description:
      'TCP ports anywhere that workers may call, beside those of PostgreSQL, Redis, DNS, the providers and OTEL_EXPORTER_OTLP_ENDPOINT.',
    default: '443',
    pattern: PORT,
    allowed: 'port numbers, separated by commas',
  }),
  networkPolicy: flag({
    env: 'LONGSHORE_POOL_NETWORK_POLICY',
    description: 'Whether each pool gets a NetworkPolicy.',
    default: 'true',
  }),
  monitorLabels: list({
    env: 'LONGSHORE_POD_MONITOR_LABELS',
    description: 'Labels of the PodMonitors of pools, by which your Prometheus finds them.',
    default: '',
    pattern: /^[A-Za-z0-9][-A-Za-z0-9_./]{0,315}=[A-Za-z0-9][-A-Za-z0-9_.]{0,62}$/,
    allowed: '`name=value`, separated by commas',
  }),
});
