import { defineHandler, defineJobType, startWorker, TerminalError } from 'longshore/worker';
import { z } from 'zod';

const wordCount = defineJobType({
  name: 'word-count',
  description: 'Counts the words of a text',
  input: z.strictObject({ text: z.string().max(10_000) }),
  result: z.strictObject({ words: z.int(), longest: z.string() }),
});

const handler = defineHandler(wordCount, async ({ input, logger, progress }) => {
  const words = input.text.split(/\s+/).filter((word) => word !== '');
  // Another attempt would find no words either.
  if (words.length === 0) throw new TerminalError('NoWords', 'The text has no words');
  let longest = '';
  for (const [index, word] of words.entries()) {
    if (word.length > longest.length) longest = word;
    progress((index + 1) / words.length, word);
  }
  logger.info({ words: words.length }, 'Counted the words');
  return { words: words.length, longest };
});

await startWorker([handler]);
