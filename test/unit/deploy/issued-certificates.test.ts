// The component for cert-manager makes the Secrets that the base's pods mount, with names that the
// programs take for their own; each pod's key is in its own Secret.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { manifestFolders } from '../../../cli/kubernetes/manifests.js';
import { certificateSecrets } from '../../../cli/kubernetes/objects/certificates.js';
import { packageFile } from '../../../shared/paths.js';
import { identitiesOf, mayBe, roles } from '../../../shared/tls/identity.js';

const folder = 'deploy/k8s/components/cert-manager';
const read = (file: string): string => readFileSync(packageFile(`${folder}/${file}`), 'utf8');

interface Document {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly secretName: string;
    readonly isCA?: boolean;
    readonly uris?: readonly string[];
    readonly dnsNames?: readonly string[];
    readonly issuerRef?: { readonly kind: string; readonly name: string };
    readonly ca?: { readonly secretName: string };
  };
}

const { resources } = parse(read('kustomization.yaml')) as { resources: string[] };
const documents = resources.flatMap((file) =>
  parseAllDocuments(read(file)).map((document) => document.toJS() as Document),
);
const certificates = documents.filter(({ kind, spec }) => kind === 'Certificate' && !spec.isCA);

test('each role has a certificate in a Secret of its own, for any run', () => {
  const held = certificates.map(({ spec }) => {
    const names = spec.uris?.map((uri) => `URI:${uri}`).join(', ');
    return { secret: spec.secretName, identities: identitiesOf(names) };
  });
  for (const role of roles) {
    const worker = role === 'worker' ? 'worker-7' : undefined;
    const able = held.filter(({ identities }) => mayBe(identities, { run: 'a', role, worker }));
    assert.deepEqual(
      able.map(({ secret }) => secret),
      [`lockstep-${role}-tls`],
    );
  }
  assert.equal(held.length, roles.length);
  for (const { spec } of certificates) assert.deepEqual(spec.dnsNames, ['lockstep.internal']);
});

test('the base and its overlays mount these Secrets', () => {
  const secrets = new Set(certificates.map(({ spec }) => spec.secretName));
  for (const { parameters, folder: of } of manifestFolders)
    for (const secret of Object.values(certificateSecrets(parameters) ?? {}))
      assert.ok(secrets.has(secret), `${of}: ${secret}`);
});

test('one authority issues them all, from its own Secret', () => {
  const issuers = certificates.map(({ spec }) => spec.issuerRef?.name);
  assert.deepEqual([...new Set(issuers)], ['lockstep']);
  const issuer = documents.find(
    ({ metadata, kind }) => kind === 'Issuer' && metadata.name === 'lockstep',
  );
  const authority = documents.find(({ spec }) => spec.isCA);
  assert.equal(issuer?.spec.ca?.secretName, authority?.spec.secretName);
  assert.ok(!certificates.some(({ spec }) => spec.secretName === authority?.spec.secretName));
});
