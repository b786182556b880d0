import { defineConfig } from 'vitest/config';

// `unit` needs nothing but Node.js, `integration` the services that `hack/services` starts, `e2e` a Kubernetes.
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'hack/**/*.test.ts'], testTimeout: 20_000 } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          // Real servers on machines that others use too: a test that fails is run once more, and its line says so.
          retry: 1,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['test/e2e/global-setup.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // One cluster and one release: what one test breaks, another would see.
          fileParallelism: false,
          retry: 1,
        },
      },
    ],
  },
});
