// Which picture formats are read, and which others people have, by the endings of names and by
// the first bytes: what is not read is named, with what to do about it.

/** Endings of names that are taken for pictures; lower case, without the dot. */
export const pictureEndings = ['jpg', 'jpeg', 'png', 'webp', 'tif', 'tiff', 'avif', 'gif'] as const;

/** Formats by what the bytes are (libvips' names; `heif` is AVIF here). */
export const pictureFormats: ReadonlySet<string> = new Set([
  ...['jpeg', 'png', 'webp', 'tiff', 'heif', 'gif'],
]);

interface UnreadFormat {
  readonly name: string;
  readonly endings: readonly string[];
  /** The first bytes as Latin-1. */
  readonly start?: RegExp;
  readonly advice?: string;
}

const unreadFormats: readonly UnreadFormat[] = [
  {
    name: 'HEIC',
    endings: ['heic', 'heif', 'hif', 'heics', 'heifs'],
    // A box of brands; HEVC's own are these, in files of mixed brands too.
    start: /^.{4}ftyp.*?(hei[cmsx]|hev[cmsx])/s,
    advice: 'with heif-convert, or set the phone to save "most compatible"',
  },
  { name: 'BMP', endings: ['bmp', 'dib'], start: /^BM.{4}\0{4}/s },
  { name: 'JPEG XL', endings: ['jxl'], start: /^(\xff\n|.{4}JXL )/s },
  { name: 'JPEG 2000', endings: ['jp2', 'j2k', 'jpf', 'jpx'], start: /^.{4}jP {2}/s },
  { name: 'Photoshop', endings: ['psd', 'psb'], start: /^8BPS/ },
  {
    name: 'camera raw',
    endings: ['dng', 'cr2', 'cr3', 'nef', 'arw', 'raf', 'orf', 'rw2', 'pef', 'srw'],
  },
];

/** Bytes at the start of a file that say what it is. */
const startBytes = 64;

function refusalOf({ name, advice }: UnreadFormat): string {
  return `${name} is not read: convert it to JPEG or PNG first${advice ? ` (${advice})` : ''}`;
}

/** What to say of a name's ending, if it is that of a picture that is not read. */
export function unreadEnding(path: string): string | undefined {
  const ending = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const found = unreadFormats.find(({ endings }) => endings.includes(ending));
  return found && refusalOf(found);
}

/** What to say of a file whose first bytes are those of a picture that is not read. */
export function unreadBytes(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, startBytes)).toString('latin1');
  const found = unreadFormats.find((format) => format.start?.test(start));
  return found && refusalOf(found);
}
