import type { ImageFormat } from '../types/image-convert/sniff.ts';

/**
 * Width and height as an image's first bytes (≥ 30) tell them, so that a decompression bomb is refused before it is kept;
 * null for formats that say it further inside, which the worker judges.
 */
export function peekDimensions(format: ImageFormat, head: Buffer): { width: number; height: number } | null {
  if (head.length < 30) return null;
  if (format === 'png' && head.toString('latin1', 12, 16) === 'IHDR') {
    return { width: head.readUInt32BE(16), height: head.readUInt32BE(20) };
  }
  if (format === 'gif') return { width: head.readUInt16LE(6), height: head.readUInt16LE(8) };
  if (format === 'webp' && head.toString('latin1', 12, 16) === 'VP8X') {
    return { width: head.readUIntLE(24, 3) + 1, height: head.readUIntLE(27, 3) + 1 };
  }
  return null;
}
