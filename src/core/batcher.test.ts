import { describe, expect, it } from 'vitest';
import { Batcher, BatcherFullError } from './batcher.ts';

describe('Batcher', () => {
  it('shares a flush between concurrent callers, in their order', async () => {
    const batches: number[][] = [];
    const batcher = new Batcher<number, number>({
      flush: async (items) => {
        batches.push(items);
        return items.map((n) => n * 10);
      },
    });
    expect(await Promise.all([1, 2, 3].map((n) => batcher.add(n)))).toEqual([10, 20, 30]);
    expect(batches).toEqual([[1, 2, 3]]);
  });

  it('halves a batch that fails until only the guilty item fails', async () => {
    const batcher = new Batcher<number, number>({
      flush: async (items) => {
        if (items.includes(13)) throw new Error('unlucky');
        return items;
      },
    });
    const answers = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => batcher.add(n)));
    expect(answers.filter((a) => a.status === 'rejected')).toHaveLength(1);
    expect(answers[13]).toMatchObject({ status: 'rejected', reason: { message: 'unlucky' } });
  });

  it('does not halve what halving cannot help', async () => {
    let flushes = 0;
    const batcher = new Batcher<number, number>({
      flush: async () => {
        flushes += 1;
        throw new Error('away');
      },
      isIndivisible: () => true,
    });
    const answers = await Promise.allSettled([1, 2, 3, 4].map((n) => batcher.add(n)));
    expect(answers.every((a) => a.status === 'rejected')).toBe(true);
    expect(flushes).toBe(1);
  });

  it('rejects an item alone by an Error in the answer', async () => {
    const batcher = new Batcher<number, number>({
      flush: async (items) => items.map((n) => (n === 2 ? new Error('no') : n)),
    });
    const answers = await Promise.allSettled([1, 2, 3].map((n) => batcher.add(n)));
    expect(answers.map((a) => a.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('refuses more than may wait, and drains', async () => {
    const gate = Promise.withResolvers<void>();
    const batcher = new Batcher<number, number>({
      flush: async (items) => {
        await gate.promise;
        return items;
      },
      maxItems: 1,
      concurrency: 1,
      maxQueued: 2,
    });
    const first = [batcher.add(1), batcher.add(2), batcher.add(3)];
    await expect(batcher.add(4)).rejects.toBeInstanceOf(BatcherFullError);
    gate.resolve();
    await batcher.drain();
    expect(await Promise.all(first)).toEqual([1, 2, 3]);
  });
});
