import type { Installation } from '../cluster/installation.ts';

/** A pool of the demo, and what k6 does to it. */
export interface DemoPool {
  name: string;
  type: string;
  /** For people: what its jobs are and how large it may become. */
  caption: string;
  /** Jobs a second at the peak. */
  peakRate: number;
  /** How k6 submits: a job of JSON with this input, or an uploaded photograph. */
  submit: { input: object } | { upload: Record<string, string> } | { contracts: true };
  /** Spec of its WorkerPool. */
  spec: object;
}

export interface Phase {
  name: string;
  /** Of the load's whole time, up to 1. */
  until: number;
  /** Share of the peak rate at its end. */
  level: number;
}

/** What k6 does to every pool at once. The queue is left to empty afterwards. */
export const PHASES: readonly Phase[] = [
  { name: 'raising', until: 0.4, level: 1 },
  { name: 'peak', until: 0.65, level: 1 },
  { name: 'falling', until: 1, level: 0.05 },
];
/** Share of the peak rate at the start. */
export const START_LEVEL = 0.05;

const RESOURCES = { requests: { cpu: '20m', memory: '96Mi' }, limits: { memory: '512Mi' } };
const PACE = { cooldownSeconds: 10, resources: RESOURCES };

/** Contracts a second that the stand-in for Etherscan is asked for, over all pods. */
export const PROVIDER_RATE = 3;

/** One pool whose jobs wait, one whose jobs compute, and one that a provider's limit holds back. */
export function demoPools(installed: Installation, greet: object): DemoPool[] {
  return [
    {
      name: 'greeters',
      type: 'greet',
      caption: 'greet, of an own image: 1 s of waiting; 5 at once a pod, 6 pods at most',
      peakRate: 25,
      submit: { input: { name: 'Ada', seconds: 1 } },
      spec: { ...PACE, image: installed.customImage, types: [greet], concurrency: 5, maxReplicas: 6 },
    },
    {
      name: 'photographs',
      type: 'image-convert',
      caption: 'image-convert: 1,200 pixels of webp; 1 at once a pod, 3 pods at most',
      peakRate: 3,
      submit: { upload: { format: 'webp', width: '1200', enlarge: 'true' } },
      spec: {
        ...PACE,
        image: installed.image,
        types: [{ name: 'image-convert' }],
        concurrency: 1,
        jobsPerReplica: 2,
        maxReplicas: 3,
      },
    },
    {
      name: 'contracts',
      type: 'contract-source',
      caption: `contract-source: a provider allows ${PROVIDER_RATE} a second; 20 at once a pod, 5 pods at most`,
      peakRate: 5,
      submit: { contracts: true },
      spec: {
        ...PACE,
        image: installed.image,
        types: [{ name: 'contract-source' }],
        concurrency: 20,
        maxReplicas: 5,
        // The stand-in takes any key.
        env: [{ name: 'ETHERSCAN_API_KEY', value: 'demo' }],
      },
    },
  ];
}

/** The scenarios of load.js: an open model, so that the load does not wait for the answers. */
export function toScenarios(pools: readonly DemoPool[], seconds: number): object[] {
  return pools.map(({ name, type, peakRate, submit }) => ({
    name,
    type,
    submit,
    // In tenths of a job a second, because k6 knows whole numbers alone.
    startRate: Math.round(peakRate * START_LEVEL * 10),
    stages: PHASES.map(({ until, level }, index) => ({
      duration: `${Math.round((until - (PHASES[index - 1]?.until ?? 0)) * seconds)}s`,
      target: Math.round(peakRate * level * 10),
    })),
  }));
}
