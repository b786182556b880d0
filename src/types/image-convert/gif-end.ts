const EXTENSION = 0x21;
const IMAGE = 0x2c;
const TRAILER = 0x3b;

/**
 * Whether a GIF reaches its trailer. The decoder shows what there is of an animation that was cut off and says nothing,
 * so the blocks are walked here; no pixel is decoded.
 */
export function hasGifEnd(gif: Buffer): boolean {
  let at = 13 + colourTableBytes(gif[10] ?? 0);
  while (at < gif.length) {
    const block = gif[at];
    if (block === TRAILER) return true;
    if (block === EXTENSION) {
      at = skipSubBlocks(gif, at + 2);
    } else if (block === IMAGE) {
      at = skipSubBlocks(gif, at + 11 + colourTableBytes(gif[at + 9] ?? 0));
    } else {
      return false;
    }
  }
  return false;
}

function colourTableBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 0x07) + 1);
}

function skipSubBlocks(gif: Buffer, start: number): number {
  let at = start;
  while (at < gif.length) {
    const size = gif[at] ?? 0;
    at += size + 1;
    if (size === 0) break;
  }
  return at;
}
