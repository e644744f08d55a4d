// A folder with certificates of an authority made for a test.

import { copyFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority, type Authority } from '../../../shared/tls/authority.js';
import { authorityFile, certificateName, type Holder } from '../../../shared/tls/certificates.js';
import { writeAuthority, writeCertificate } from '../../../shared/tls/folder.js';

export interface TlsFolder {
  readonly folder: string;
  readonly authority: Authority;
  /** Writes, or replaces, a holder's certificate of a run. */
  issue(holder: Holder, run?: string): Promise<void>;
  /** Replaces what is of the same names in another folder, the authority too. */
  copyTo(other: string, holders: readonly Holder[]): void;
}

/** A new folder with certificates of `holders` for a run, of its own authority or a given one. */
export async function createTlsFolder(
  run: string,
  holders: readonly Holder[],
  given?: Authority,
): Promise<TlsFolder> {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-tls-'));
  const authority = given ?? (await createAuthority('a test', 1));
  const issue = async (holder: Holder, ofRun = run): Promise<void> => {
    const issued = await authority.issue([{ run: ofRun, ...holder }]);
    writeCertificate(folder, certificateName(holder), issued);
  };
  writeAuthority(folder, authority.ca);
  for (const holder of holders) await issue(holder);
  const copyTo = (other: string, chosen: readonly Holder[]): void => {
    const names = chosen.map(certificateName).flatMap((name) => [`${name}.crt`, `${name}.key`]);
    for (const name of [authorityFile, ...names])
      copyFileSync(join(folder, name), join(other, name));
  };
  return { folder, authority, issue, copyTo };
}
