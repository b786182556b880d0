/** The image formats that Longshore reads and writes. */
export const IMAGE_FORMATS = ['jpeg', 'png', 'webp', 'avif', 'gif', 'tiff'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** How many first bytes of an upload {@link sniffImage} wants to see; fewer are enough for most formats. */
export const SNIFF_BYTES = 512;

const MEDIA_TYPES: Record<ImageFormat, string> = {
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  avif: 'image/avif',
  gif: 'image/gif',
  tiff: 'image/tiff',
};

const EXTENSIONS: Record<string, ImageFormat> = {
  jpg: 'jpeg',
  jpeg: 'jpeg',
  jpe: 'jpeg',
  jfif: 'jpeg',
  png: 'png',
  apng: 'png',
  webp: 'webp',
  avif: 'avif',
  gif: 'gif',
  tif: 'tiff',
  tiff: 'tiff',
};

/** Media types in use beside the registered ones. */
const MEDIA_TYPE_ALIASES: Record<string, string> = {
  'image/jpg': 'image/jpeg',
  'image/pjpeg': 'image/jpeg',
  'image/x-png': 'image/png',
  'image/apng': 'image/png',
  'image/tif': 'image/tiff',
  'image/x-tiff': 'image/tiff',
};

/** Media types that clients send when they do not know what a file is. */
const UNDECLARED = new Set(['', 'application/octet-stream', 'binary/octet-stream', 'application/x-unknown']);

export function mediaTypeOf(format: ImageFormat): string {
  return MEDIA_TYPES[format];
}

/**
 * What an image's first bytes say it is, whatever its name and declared type; null when it is none of the formats that
 * Longshore reads. It proves nothing about the rest of the file.
 *
 * @param head - The first {@link SNIFF_BYTES} bytes, or more.
 */
export function sniffImage(head: Uint8Array): { format: ImageFormat } | null {
  const format = sniffFormat(
    Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, SNIFF_BYTES)),
  );
  return format === null ? null : { format };
}

function sniffFormat(head: Buffer): ImageFormat | null {
  const text = head.toString('latin1', 0, 12);
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (text.startsWith('GIF87a') || text.startsWith('GIF89a')) return 'gif';
  if (text.startsWith('RIFF') && text.slice(8) === 'WEBP') return 'webp';
  if (/^(?:II[*+]\0|MM\0[*+])/.test(text)) return 'tiff';
  const brands = isoBrands(head);
  return brands.includes('avif') || brands.includes('avis') ? 'avif' : null;
}

/** The brands of an ISO base media file's `ftyp` box: AVIF and HEIC differ in nothing else at their beginning. */
function isoBrands(head: Buffer): string[] {
  if (head.length < 16 || head.toString('latin1', 4, 8) !== 'ftyp') return [];
  const end = Math.min(head.readUInt32BE(0), head.length);
  const brands = [head.toString('latin1', 8, 12)];
  for (let at = 16; at + 4 <= end; at += 4) brands.push(head.toString('latin1', at, at + 4));
  return brands;
}

/** Names what people upload by mistake, for the error message; null when it is unknown. */
export function describeForeignContent(head: Uint8Array): string | null {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, SNIFF_BYTES));
  const text = bytes
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
    .toLowerCase();
  if (text.startsWith('%pdf-')) return 'a PDF document';
  if (text.startsWith('%!ps')) return 'a PostScript document';
  if (text.startsWith('pk\x03\x04')) return 'a zip archive';
  if (text.startsWith('bm')) return 'a BMP image, which is not supported';
  if (/<svg[\s>:]/.test(text)) return 'an SVG document, which is not supported';
  if (/^<(?:!doctype html|html|head|body|script)/.test(text)) return 'an HTML document';
  if (text.startsWith('<')) return 'an XML document';
  if (isoBrands(bytes).length > 0) return 'a HEIC image or a video, which is not supported';
  return null;
}

/**
 * Whether a declared media type or a file name's extension contradicts what the bytes are. Nothing declared
 * (`application/octet-stream`, no or an unknown extension) contradicts nothing.
 *
 * @returns What was declared, such as `image/png` or `.png`; null when it agrees.
 */
export function findTypeLie(
  format: ImageFormat,
  declared: { name: string; mediaType: string },
): string | null {
  const mediaType = declared.mediaType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const canonical = MEDIA_TYPE_ALIASES[mediaType] ?? mediaType;
  if (!UNDECLARED.has(canonical) && canonical !== MEDIA_TYPES[format]) return canonical;
  const extension = /\.([a-z0-9]{1,8})$/i.exec(declared.name)?.[1]?.toLowerCase();
  if (extension === undefined || !Object.hasOwn(EXTENSIONS, extension)) return null;
  return EXTENSIONS[extension] === format ? null : `.${extension}`;
}
