/** Says what takes long, once it has taken 2 s, and every 10 s from then on. */
export async function withProgress<Answer>(what: string, work: () => Promise<Answer>): Promise<Answer> {
  const startedAt = performance.now();
  let next = setTimeout(report, 2_000);
  function report(): void {
    process.stderr.write(`${what} … ${Math.round((performance.now() - startedAt) / 1_000)} s\n`);
    next = setTimeout(report, 10_000);
  }
  try {
    return await work();
  } finally {
    clearTimeout(next);
  }
}
