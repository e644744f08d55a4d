// Makes an authority and certificates, for a run in a cluster and for machines of one's own. The
// authority's key is for whoever asked: it is never written where nobody asked for it.

import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { webcrypto } from 'node:crypto';
import { identityUri, type Identity } from './identity.js';

/** In PEM. */
export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** The authority's own certificate, which all who trust it need. */
  readonly ca: string;
  /** Its private key: whoever has it can be anybody. */
  readonly key: string;
  issue(identities: readonly Identity[]): Promise<IssuedCertificate>;
}

/** Elliptic curve P-256: small, fast, and known everywhere. */
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** Clocks of machines may differ by so much. */
const skewMs = 60 * 60 * 1000;

const dayMs = 24 * 60 * 60 * 1000;

/** Makes an authority whose certificates, and its own, hold for some days. */
export async function createAuthority(name: string, days: number): Promise<Authority> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...{ name: [{ CN: [name] }], keys, signingAlgorithm: algorithm, ...validity(days) },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authorityOf(certificate, keys, days);
}

/** An authority that is there, from its PEM texts. */
export async function loadAuthority(ca: string, key: string, days: number): Promise<Authority> {
  const certificate = new x509.X509Certificate(ca);
  const [der] = x509.PemConverter.decode(key);
  if (der === undefined) throw new Error('there is no key in PEM');
  const { subtle } = webcrypto;
  const privateKey = await subtle.importKey('pkcs8', der, algorithm, true, ['sign']);
  const spki = certificate.publicKey.rawData;
  const publicKey = await subtle.importKey('spki', spki, algorithm, true, ['verify']);
  return authorityOf(certificate, { privateKey, publicKey }, days);
}

async function authorityOf(
  certificate: x509.X509Certificate,
  keys: webcrypto.CryptoKeyPair,
  days: number,
): Promise<Authority> {
  return {
    ca: pem(certificate),
    key: await keyPem(keys),
    issue: async (identities) => {
      const own = await newKeys();
      const names = identities.map((one) => ({ type: 'url' as const, value: identityUri(one) }));
      const leaf = await x509.X509CertificateGenerator.create({
        ...{ subject: [{ CN: ['lockstep'] }], issuer: certificate.subject, ...validity(days) },
        ...{ publicKey: own.publicKey, signingKey: keys.privateKey, signingAlgorithm: algorithm },
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([
            x509.ExtendedKeyUsage.serverAuth,
            x509.ExtendedKeyUsage.clientAuth,
          ]),
          new x509.SubjectAlternativeNameExtension([
            ...names,
            { type: 'dns', value: 'lockstep.internal' },
          ]),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      return { cert: pem(leaf), key: await keyPem(own) };
    },
  };
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - skewMs), notAfter: new Date(now + days * dayMs) };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

async function keyPem({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}
