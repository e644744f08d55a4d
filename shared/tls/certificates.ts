// The certificates of a process: an authority, and a certificate with its key, from a folder that
// may be a mounted Secret. Files that are replaced are taken up. A set that does not fit together,
// because it is being replaced, is looked at again later; until then the last good one counts.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, OperatorError } from '../problems.js';
import { createDailyNotice, dayOf, endingText, type Validity } from './expiry.js';
import { identitiesOf, identityText, type Identity, type Role } from './identity.js';

/** In PEM; `ca` and `cert` may have several. */
export interface CertificateSet {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** What a process calls itself, as far as it knows before it has seen its certificate. */
export interface Holder {
  readonly role: Role;
  readonly worker?: string | undefined;
}

/** Kept fresh until it is closed. */
export interface Certificates {
  readonly holder: Holder;
  /** The newest good set. */
  now(): CertificateSet;
  /** Who the newest certificate says that we are. */
  identities(): readonly Identity[];
  /** What to say where the certificate, or the last of its authorities, ends soon. */
  endingNotice(nowMs: number): string | undefined;
  /** Calls the listener with every later set; gives a function that ends it. */
  onChange(listener: (set: CertificateSet) => void): () => void;
  close(): void;
}

export interface CertificatesOptions {
  readonly folder: string;
  readonly holder: Holder;
  /** The folder's flag, for errors. */
  readonly key?: string;
  readonly onNotice?: (text: string) => void;
  readonly lookMs?: number;
}

/** How often files are looked at: a kubelet needs a minute or so to replace a Secret. */
const usualLookMs = 5_000;

/** More than any chain of certificates. */
const maxFileBytes = 256 * 1024;

/** The name of the authority's file. */
export const authorityFile = 'ca.crt';

/** File names without ending: `coordinator`, `operator`, `worker-w-1`. */
export function certificateName({ role, worker }: Holder): string {
  return role === 'worker' ? `worker-${worker ?? ''}` : role;
}

/**
 * Opens `ca.crt` and the holder's certificate, `NAME.crt` and `NAME.key`, or else `tls.crt` and
 * `tls.key`, as cert-manager calls them. An OperatorError names the file that is missing or wrong.
 */
export function openCertificates(options: CertificatesOptions): Certificates {
  const { folder, holder, onNotice, lookMs = usualLookMs } = options;
  let seen = stamps(options);
  let current = load(options);
  const listeners = new Set<(set: CertificateSet) => void>();
  const complain = createDailyNotice((text) => onNotice?.(text));
  const lookAtEnd = (): void => {
    const nowMs = Date.now();
    complain(endingNotice(folder, current, nowMs), current.ending.endMs, nowMs);
  };
  let wrong = '';
  const look = (): void => {
    try {
      const stamp = stamps(options);
      if (stamp === seen) return;
      const next = load(options);
      seen = stamp;
      current = next;
      for (const listener of [...listeners]) listener(next.set);
      onNotice?.(`new certificates in ${folder}, until ${dayOf(next.ending.endMs)}`);
      wrong = '';
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== wrong) onNotice?.(`new certificates in ${folder} are not used: ${reason}`);
      wrong = reason;
    }
  };
  const timer = setInterval(() => {
    look();
    lookAtEnd();
  }, lookMs);
  timer.unref();
  lookAtEnd();
  return {
    holder,
    now: () => current.set,
    identities: () => current.identities,
    endingNotice: (nowMs) => endingNotice(folder, current, nowMs),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => clearInterval(timer),
  };
}

interface Loaded {
  readonly set: CertificateSet;
  readonly identities: readonly Identity[];
  /** Of the file that ends first. */
  readonly ending: Validity & { readonly file: string };
}

function endingNotice(folder: string, { ending }: Loaded, nowMs: number): string | undefined {
  return endingText(join(folder, ending.file), ending, nowMs);
}

function load(options: CertificatesOptions): Loaded {
  const { folder, holder } = options;
  const name = nameIn(folder, holder);
  const ca = read(options, authorityFile);
  const cert = read(options, `${name}.crt`);
  const key = read(options, `${name}.key`);
  const authorities = parse(options, authorityFile, () => certificatesIn(ca));
  const leaf = parse(options, `${name}.crt`, () => new X509Certificate(cert));
  const privateKey = parse(options, `${name}.key`, () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey))
    throw refused(options, `${name}.key`, `the key of ${name}.crt`);
  if (Date.parse(leaf.validTo) <= Date.now())
    throw refused(options, `${name}.crt`, `a certificate that has not ended (${leaf.validTo})`);
  const identities = identitiesOf(leaf.subjectAltName);
  const isHolder = ({ role, worker }: Identity): boolean =>
    role === holder.role && (worker === holder.worker || worker === '*');
  if (!identities.some(isHolder)) {
    const wanted = holder.worker === undefined ? holder.role : `worker ${holder.worker}`;
    const allowed = `a certificate of ${wanted}, with a name like lockstep://RUN/${holder.role}`;
    throw refused(options, `${name}.crt`, `${allowed}; this one is of ${identityText(identities)}`);
  }
  // Of several authorities, where one is being replaced, the last one counts.
  const [trusted] = authorities.map(validityOf).sort((a, b) => b.endMs - a.endMs);
  const own = { file: `${name}.crt`, ...validityOf(leaf) };
  const ending =
    trusted !== undefined && trusted.endMs < own.endMs ? { file: authorityFile, ...trusted } : own;
  return { set: { ca, cert, key }, identities, ending };
}

/** All in a file; throws where one is none. */
function certificatesIn(pem: Buffer): X509Certificate[] {
  const blocks = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
  const [first = '', ...others] = pem.toString('latin1').match(blocks) ?? [];
  return [first, ...others].map((block) => new X509Certificate(block));
}

function nameIn(folder: string, holder: Holder): string {
  const name = certificateName(holder);
  return statSync(join(folder, `${name}.crt`), { throwIfNoEntry: false }) === undefined &&
    statSync(join(folder, 'tls.crt'), { throwIfNoEntry: false }) !== undefined
    ? 'tls'
    : name;
}

/** Times and sizes of the files: another text after each replacement. */
function stamps({ folder, holder }: CertificatesOptions): string {
  const name = nameIn(folder, holder);
  const stamp = (file: string): string => {
    const stat = statSync(join(folder, file), { throwIfNoEntry: false, bigint: true });
    return `${stat?.ino}/${stat?.mtimeNs}/${stat?.size}`;
  };
  return [authorityFile, `${name}.crt`, `${name}.key`].map(stamp).join(' ');
}

function read(options: CertificatesOptions, file: string): Buffer {
  const path = join(options.folder, file);
  try {
    const stat = statSync(path);
    if (stat.isFile() && stat.size <= maxFileBytes) return readFileSync(path);
  } catch (error) {
    throw refused(options, file, `a file in PEM (${messageOf(error)})`);
  }
  throw refused(options, file, `a regular file of at most ${maxFileBytes} bytes`);
}

function parse<T>(options: CertificatesOptions, file: string, parser: () => T): T {
  try {
    return parser();
  } catch (error) {
    throw refused(options, file, `PEM (${messageOf(error)})`);
  }
}

function refused(
  { key = '--tls-dir', folder }: CertificatesOptions,
  file: string,
  allowed: string,
) {
  const hint = '`lockstep tls init DIR` makes a folder of certificates';
  return new OperatorError('the certificates can not be used', [
    { key, given: join(folder, file), allowed, hint },
  ]);
}

/** When a certificate holds. */
export function validityOf({ validFrom, validTo }: X509Certificate): Validity {
  return { fromMs: Date.parse(validFrom), endMs: Date.parse(validTo) };
}
