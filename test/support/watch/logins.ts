// Keys, credentials and certificates as operators of NATS have them, made anew for each test, and
// the settings of a nats-server that takes them.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nkeys } from 'nats';

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** For `{ skip }` of a test: false when there is openssl, else the reason. */
export const skipWithoutOpenssl: false | string = hasOpenssl() ? false : 'no openssl';

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A user's seed, and the settings of a server that knows it. */
export function makeNkey(): { readonly seed: string; readonly settings: string } {
  const user = nkeys.createUser();
  const settings = `authorization { users: [{ nkey: ${user.getPublicKey()} }] }`;
  return { seed: seedOf(user), settings };
}

function seedOf(pair: KeyPair): string {
  return Buffer.from(pair.getSeed()).toString();
}

/** Credentials of a user under an operator, and the settings of that operator's server. */
export function makeCreds(): { readonly creds: string; readonly settings: string } {
  const [operator, system, account, user] = [
    ...[nkeys.createOperator(), nkeys.createAccount(), nkeys.createAccount(), nkeys.createUser()],
  ];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true };
  const accountJwt = (pair: KeyPair): string => {
    // The system's own may have none.
    const storage = pair === system ? 0 : -1;
    const more = { conn: -1, leaf: -1, mem_storage: storage, disk_storage: storage };
    return jwt(pair, operator, { type: 'account', limits: { ...limits, ...more } });
  };
  const userJwt = jwt(user, account, { type: 'user', subs: -1, data: -1, payload: -1 });
  return {
    creds: [
      `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n`,
      `-----BEGIN USER NKEY SEED-----\n${seedOf(user)}\n------END USER NKEY SEED------\n`,
    ].join('\n'),
    settings: [
      `operator: ${jwt(operator, operator, { type: 'operator' })}`,
      `system_account: ${system.getPublicKey()}`,
      'resolver: MEMORY',
      'resolver_preload: {',
      ...[system, account].map((pair) => `  ${pair.getPublicKey()}: ${accountJwt(pair)}`),
      '}',
    ].join('\n'),
  };
}

/** A JWT of NATS: who is vouched for, by whom (https://github.com/nats-io/jwt). */
function jwt(subject: KeyPair, issuer: KeyPair, nats: object): string {
  const encode = (value: object): string =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const [iss, sub] = [issuer.getPublicKey(), subject.getPublicKey()];
  const claims = { jti: sub, iat: 1_700_000_000, iss, sub, nats: { version: 2, ...nats } };
  const body = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode(claims)}`;
  return `${body}.${Buffer.from(issuer.sign(Buffer.from(body))).toString('base64url')}`;
}

/** Paths of PEM files. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  readonly ca: string;
  /** Signs a certificate for 127.0.0.1, or for what is named ("DNS:elsewhere"). */
  sign(name: string, altName?: string): CertificateFiles;
}

/** A certificate authority of its own in `folder`. */
export function makeAuthority(folder: string, authority = 'ca'): Authority {
  const file = (name: string): string => join(folder, `${authority}-${name}`);
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const keys = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const [ca, caKey] = [file('ca.pem'), file('ca.key')];
  const subject = (name: string): string[] => ['-subj', `/CN=${name}`];
  openssl('req', '-x509', ...keys, '-keyout', caKey, '-out', ca, ...subject(authority));
  return {
    ca,
    sign(name, altName = 'IP:127.0.0.1') {
      const [cert, key, request] = [file(`${name}.pem`), file(`${name}.key`), file(`${name}.csr`)];
      openssl('req', '-new', ...keys, '-keyout', key, '-out', request, ...subject(name));
      writeFileSync(file(`${name}.ext`), `subjectAltName=${altName}\n`);
      const by = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-extfile', file(`${name}.ext`)];
      openssl('x509', '-req', '-in', request, '-out', cert, ...by);
      return { cert, key };
    },
  };
}

/** Settings of a server that shows this certificate. */
export function tlsSettings({ cert, key }: CertificateFiles, clientCa?: string): string {
  const verify = clientCa === undefined ? '' : `, ca_file: "${clientCa}", verify: true`;
  return `tls { cert_file: "${cert}", key_file: "${key}"${verify} }`;
}
