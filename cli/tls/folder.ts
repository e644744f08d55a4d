// Folders of certificates for machines of one's own: an authority and a certificate for each place
// in a run. A file that is there is never replaced unless it is to be renewed.

import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, OperatorError } from '../../shared/problems.js';
import { createAuthority, loadAuthority, type Authority } from '../../shared/tls/authority.js';
import {
  authorityFile,
  certificateName,
  validityOf,
  type Holder,
} from '../../shared/tls/certificates.js';
import { dayOf, daysLeft, endsSoon } from '../../shared/tls/expiry.js';
import {
  authorityKeyFile,
  writeAuthority,
  writeAuthorityKey,
  writeCertificate,
} from '../../shared/tls/folder.js';
import { identitiesOf, identityText } from '../../shared/tls/identity.js';

/** A certificate of a folder, as `lockstep tls show` has it. */
export interface ShownCertificate {
  readonly file: string;
  /** "worker w-1 of faces"; of `ca.crt` "authority". */
  readonly who: string;
  /** The day that it ends, "2027-11-29". */
  readonly until: string;
  readonly days_left: number;
  /** It is time to replace it. */
  readonly ends_soon: boolean;
}

const refusal = 'the certificates can not be made';

/** Makes a folder that is not there, or is empty, with an authority and certificates. */
export async function initTlsFolder(
  folder: string,
  run: string,
  holders: readonly Holder[],
  days: number,
): Promise<string[]> {
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new OperatorError(refusal, [
      {
        ...{ key: 'DIR', given: folder, allowed: 'a folder that is empty, or not there' },
        hint: '`lockstep tls add` and `lockstep tls renew` change one that is there',
      },
    ]);
  const authority = await createAuthority(`Lockstep ${run}`.slice(0, 60), days);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeAuthority(folder, authority.ca);
  writeAuthorityKey(folder, authority.key);
  return [authorityFile, authorityKeyFile, ...(await issueAll(folder, authority, run, holders))];
}

/** Adds certificates of the folder's authority; refuses names that are there. */
export async function addToTlsFolder(
  folder: string,
  run: string,
  holders: readonly Holder[],
  days: number,
): Promise<string[]> {
  const authority = await authorityOf(folder, days);
  const there = holders.filter((holder) => existsSync(certificatePath(folder, holder)));
  if (there.length > 0)
    throw new OperatorError(
      refusal,
      there.map((holder) => ({
        key: 'DIR',
        given: certificatePath(folder, holder),
        allowed: 'names that are not there yet',
        hint: '`lockstep tls renew` replaces those that are',
      })),
    );
  return issueAll(folder, authority, run, holders);
}

/** Replaces all certificates by new ones of the same names and the same authority. */
export async function renewTlsFolder(folder: string, days: number): Promise<string[]> {
  const authority = await authorityOf(folder, days);
  const files: string[] = [];
  for (const file of certificateFiles(folder)) {
    const identities = identitiesOf(read(folder, file).subjectAltName);
    if (file === authorityFile || identities.length === 0) continue;
    const name = file.replace(/\.crt$/, '');
    files.push(...writeCertificate(folder, name, await authority.issue(identities)));
  }
  return files;
}

/** Who has certificates in a folder, and until when. */
export function showTlsFolder(folder: string, nowMs: number): ShownCertificate[] {
  return certificateFiles(folder).map((file) => {
    const certificate = read(folder, file);
    const validity = validityOf(certificate);
    return {
      file,
      who:
        file === authorityFile
          ? 'authority'
          : identityText(identitiesOf(certificate.subjectAltName)),
      until: dayOf(validity.endMs),
      days_left: daysLeft(validity, nowMs),
      ends_soon: endsSoon(validity, nowMs),
    };
  });
}

function certificatePath(folder: string, holder: Holder): string {
  return join(folder, `${certificateName(holder)}.crt`);
}

function certificateFiles(folder: string): string[] {
  try {
    const files = readdirSync(folder).filter((file) => file.endsWith('.crt'));
    if (files.includes(authorityFile)) return files.sort();
  } catch (error) {
    throw unusable(folder, messageOf(error));
  }
  throw unusable(folder, `there is no ${authorityFile}`);
}

function read(folder: string, file: string): X509Certificate {
  try {
    return new X509Certificate(readFileSync(join(folder, file)));
  } catch (error) {
    throw unusable(join(folder, file), messageOf(error));
  }
}

async function authorityOf(folder: string, days: number): Promise<Authority> {
  certificateFiles(folder);
  try {
    const [ca, key] = [authorityFile, authorityKeyFile].map((file) =>
      readFileSync(join(folder, file), 'utf8'),
    );
    return await loadAuthority(ca ?? '', key ?? '', days);
  } catch (error) {
    throw unusable(join(folder, authorityKeyFile), messageOf(error));
  }
}

async function issueAll(
  folder: string,
  authority: Authority,
  run: string,
  holders: readonly Holder[],
): Promise<string[]> {
  const files: string[] = [];
  for (const holder of holders) {
    const issued = await authority.issue([{ run, ...holder }]);
    files.push(...writeCertificate(folder, certificateName(holder), issued));
  }
  return files;
}

function unusable(given: string, why: string): OperatorError {
  const allowed = `a folder that \`lockstep tls init\` made, with its ${authorityKeyFile} (${why})`;
  return new OperatorError(refusal, [{ key: 'DIR', given, allowed }]);
}
