/** What the manifests of all pools have in common: where workers find everything, and what is around them. */
export interface PoolSettings {
  /** The ledger, as workers log in to it. */
  workerPostgresUrl: string;
  redisUrl: string;
  redisPrefix: string;
  /** `host:port` at which KEDA reaches the scaler. */
  scalerAddress: string;
  /** A ClusterTriggerAuthentication with which KEDA speaks to the scaler; null: the pool's own, where one is needed. */
  scalerAuthentication: string | null;
  /** The authority that signed the scaler's certificate, as PEM; null: KEDA speaks to it in plain text. */
  scalerCa: string | null;
  /** Further variables of every worker, such as OpenTelemetry's; a pool's own come before them. */
  env: Readonly<Record<string, string>>;
  /** TCP ports anywhere that workers may call, beside those of the ledger and of Redis. */
  egressPorts: readonly number[];
  /** Whether a NetworkPolicy is made for each pool. */
  networkPolicy: boolean;
  /** Labels by which a Prometheus finds its PodMonitors. */
  monitorLabels: Readonly<Record<string, string>>;
}

/** Where a worker serves health and metrics. */
export const HEALTH_PORT = 8_081;
