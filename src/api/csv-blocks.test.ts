import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CsvBlock, type CsvOptions, readCsvBlocks } from './csv-blocks.ts';

const columns = { required: ['a', 'b'], optional: ['c'] };

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(
  text: string | Buffer,
  options: Partial<CsvOptions> & { chunk?: number } = {},
): Promise<CsvBlock[]> {
  const { chunk = 7, ...rest } = options;
  const blocks: CsvBlock[] = [];
  const chunks = inChunks(Buffer.from(text as string), chunk);
  for await (const block of readCsvBlocks(chunks, { ...columns, ...rest })) blocks.push(block);
  return blocks;
}

const cellsOf = (blocks: CsvBlock[]) =>
  blocks.flatMap(({ lines }) => lines.map(({ line, cells }) => [line, cells]));
const problemsOf = (blocks: CsvBlock[]) =>
  blocks.flatMap(({ lines }) =>
    lines.filter(({ cells }) => cells === null).map(({ line, problem }) => [line, problem]),
  );

test.each([
  ['commas', 'a,b\n1,2\n'],
  ['semicolons', 'a;b\n1;2\n'],
  ['tabs', 'a\tb\n1\t2\n'],
  ['the line ends of Windows', 'a,b\r\n1,2\r\n'],
  ['a byte order mark', '\uFEFFa,b\n1,2\n'],
  ['quotes', '"a","b"\n"1","2"\n'],
  ['blanks', 'a, b\n 1 ,2 \n'],
])('a file with %s', async (_what, text) => {
  expect(cellsOf(await read(text))).toEqual([[2, { a: '1', b: '2' }]]);
});

test('columns come in any order, and empty lines are counted and left out', async () => {
  expect(cellsOf(await read('c,b,a\n\n3,2,1\n'))).toEqual([[3, { a: '1', b: '2', c: '3' }]]);
});

test('a line that is wrong spoils no other', async () => {
  const blocks = await read('a,b\n1,2\n1\n1,2,3,4\n"1,2\n3,4\nx"y"z,5\n6,7\n', { blockBytes: 1_000 });
  expect(problemsOf(blocks)).toEqual([
    [3, 'There are 1 columns instead of 2'],
    [4, 'There are 4 columns instead of 2'],
    [5, 'The quotes do not match'],
    [7, 'The quotes do not match'],
  ]);
  expect(cellsOf(blocks).filter(([, cells]) => cells !== null)).toEqual([
    [2, { a: '1', b: '2' }],
    [6, { a: '3', b: '4' }],
    [8, { a: '6', b: '7' }],
  ]);
});

test('a last line without its end may be half a line', async () => {
  expect(problemsOf(await read('a,b\n1,2\n3,4'))).toEqual([
    [3, 'The last line has no end: the file may have been cut off'],
  ]);
});

test.each([
  ['nothing', '', 'WrongColumns'],
  ['the wrong columns', 'x,y\n1,2\n', 'WrongColumns'],
  ['a column missing', 'a\n1\n', 'WrongColumns'],
  ['a column twice', 'a,b,a\n1,2,3\n', 'WrongColumns'],
  ['UTF-16', Buffer.from('a,b\n1,2\n', 'utf16le'), 'WrongEncoding'],
  ['a picture', Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 0x0a, 3]), 'WrongEncoding'],
  ['one endless line', 'a,b\n'.padEnd(200_000, 'x'), 'LineTooLong'],
])('a file of %s is refused', async (_what, text, code) => {
  await expect(read(text, { blockBytes: 1_000, chunk: 50_000 })).rejects.toMatchObject({ code });
});

test('text of another encoding spoils its own lines', async () => {
  const blocks = await read(
    Buffer.concat([Buffer.from('a,b\n1,2\n'), Buffer.from('K\u00fcche,3\n', 'latin1')]),
  );
  expect(cellsOf(blocks)).toEqual([
    [2, { a: '1', b: '2' }],
    [3, null],
  ]);
  expect(problemsOf(blocks)).toEqual([[3, 'It is not UTF-8']]);
});

test('whatever the pieces, the lines are the same, and each block says where the file goes on', async () => {
  const cell = fc.stringMatching(/^[a-z0-9"]{0,6}$/);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(cell, cell), { maxLength: 40 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 80 }),
      async (rows, chunk, blockBytes) => {
        const text = `a,b\n${rows.map((row) => `${row.join(',')}\n`).join('')}`;
        const whole = await read(text, { blockBytes: 1_000_000 });
        const blocks = await read(text, { chunk, blockBytes });
        expect(cellsOf(blocks)).toEqual(cellsOf(whole));
        expect(Buffer.concat(blocks.map(({ content }) => content)).toString()).toBe(text);
        const middle = blocks[Math.floor(blocks.length / 2)];
        if (middle === undefined) return;
        const from = { columns: middle.columns, bytes: middle.bytes, lines: middle.lastLine };
        const rest = await read(Buffer.from(text).subarray(middle.bytes), { from });
        const later = cellsOf(whole).filter(([line]) => Number(line) > middle.lastLine);
        expect(cellsOf(rest)).toEqual(later);
      },
    ),
  );
});
