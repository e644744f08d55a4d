// Writes certificates into a folder, under the names that processes look for. Each file is replaced
// at once, so that nobody reads half of it; only its owner reads a key.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IssuedCertificate } from './authority.js';
import { authorityFile } from './certificates.js';

/** The authority's key, where its owner keeps it; whoever has it can be anybody. */
export const authorityKeyFile = 'ca.key';

/** Writes `ca.crt`, in PEM. */
export function writeAuthority(folder: string, ca: string): void {
  write(folder, authorityFile, ca, 0o644);
}

/** Writes `ca.key`, in PEM. */
export function writeAuthorityKey(folder: string, key: string): void {
  write(folder, authorityKeyFile, key, 0o600);
}

/**
 * Writes `NAME.key` and `NAME.crt`, and gives the names of the files. Whoever looks between the two
 * waits until they fit.
 */
export function writeCertificate(
  folder: string,
  name: string,
  { cert, key }: IssuedCertificate,
): string[] {
  const [certFile, keyFile] = [`${name}.crt`, `${name}.key`];
  write(folder, keyFile, key, 0o600);
  write(folder, certFile, cert, 0o644);
  return [certFile, keyFile];
}

function write(folder: string, file: string, text: string, mode: number): void {
  const path = join(folder, file);
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
}
