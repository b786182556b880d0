import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeForeignContent, findTypeLie, sniffImage } from './sniff.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');

describe('sniffImage', () => {
  it.each([
    ['\xff\xd8\xff\xe0', 'jpeg'],
    ['\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'png'],
    ['GIF87a', 'gif'],
    ['GIF89a', 'gif'],
    ['RIFF\x10\0\0\0WEBPVP8 ', 'webp'],
    ['II*\0\x08\0\0\0', 'tiff'],
    ['MM\0*\0\0\0\x08', 'tiff'],
    ['\0\0\0\x1cftypavif\0\0\0\0mif1', 'avif'],
    ['\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf', 'avif'],
  ])('knows %j', (head, format) => {
    expect(sniffImage(bytes(head))).toEqual({ format });
  });

  it.each([
    ['', null],
    ['\xff\xd8', null],
    ['RIFF\x10\0\0\0WAVEfmt ', null],
    ['\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'a HEIC image or a video, which is not supported'],
    ['<svg xmlns="http://www.w3.org/2000/svg"/>', 'an SVG document, which is not supported'],
    ['\xef\xbb\xbf<?xml version="1.0"?>\n<svg:svg>', 'an SVG document, which is not supported'],
    ['\n<!DOCTYPE html><title>', 'an HTML document'],
    ['<?xml version="1.0"?><note/>', 'an XML document'],
    ['%PDF-1.7', 'a PDF document'],
    ['%!PS-Adobe', 'a PostScript document'],
    ['PK\x03\x04', 'a zip archive'],
    ['BM6\0', 'a BMP image, which is not supported'],
    ['push graphic-context', null],
  ])('does not take %j for an image', (head, described) => {
    expect(sniffImage(bytes(head))).toBeNull();
    expect(describeForeignContent(bytes(head))).toBe(described);
  });

  it('reads any bytes without failing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (head) => {
        sniffImage(head);
        sniffImage(Buffer.concat([bytes('\xff\xff\xff\xffftyp'), head]));
        describeForeignContent(head);
      }),
    );
  });
});

describe('findTypeLie', () => {
  it.each([
    ['photo.jpg', 'image/jpeg', null],
    ['photo.JPEG', 'image/jpg; charset=binary', null],
    ['photo', '', null],
    ['photo.bin', 'application/octet-stream', null],
    ['photo.__proto__', '', null],
    ['photo.constructor', '', null],
    ['photo.png', 'image/jpeg', '.png'],
    ['photo.jpg', 'image/png', 'image/png'],
    ['photo.jpg', 'text/html', 'text/html'],
    ['photo.jpg.gif', '', '.gif'],
  ])('judges a JPEG called %s of type "%s"', (name, mediaType, lie) => {
    expect(findTypeLie('jpeg', { name, mediaType })).toBe(lie);
  });
});
