// A login to NATS that can't be one is a list of problems before anything is connected, and what is
// secret in it is not shown.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nkeys } from 'nats';
import { parseEnvironment } from '../../../shared/environment.js';
import type { NatsLogin } from '../../../shared/events/nats-login.js';
import { chosenNats, parseNatsUrl } from '../../../shared/events/nats-url.js';
import { OperatorError } from '../../../shared/problems.js';
import { testFolder } from '../../support/tiny-run.js';
import { makeAuthority, makeCreds, makeNkey } from '../../support/watch/logins.js';
import { skipWithoutOpenssl } from '../../support/watch/logins.js';

const folder = testFolder();
const { seed } = makeNkey();
const { creds } = makeCreds();
const url = 'nats://host:4222';

function inFile(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

/** What is said of a login, and that no secret is in it. */
function refusal(login: NatsLogin, at = url): string {
  let said = '';
  assert.throws(
    () => parseNatsUrl(at, undefined, login),
    (error: Error) => error instanceof OperatorError && (said = error.message) !== '',
  );
  for (const secret of [seed, creds.slice(40, 80), 'hunter2', 'PRIVATE KEY'])
    assert.ok(!said.includes(secret), said);
  return said;
}

test('credentials and nkeys are taken from files and as texts, whatever blanks are around', () => {
  for (const login of [
    { creds },
    { creds: inFile('a.creds', creds) },
    { creds: inFile('b.creds', creds.trim()) },
    { nkey: seed },
    { nkey: inFile('a.nk', `${seed}\n`) },
  ])
    assert.deepEqual(parseNatsUrl(url, undefined, login).login, login);
});

test('what is not there, or something else, is refused with what is allowed', () => {
  assert.match(
    refusal({ creds: join(folder, 'none') }),
    /LOCKSTEP_NATS_CREDS: given ".*none"; allowed: the path of a \.creds file .*ENOENT/,
  );
  const allowed: [NatsLogin, RegExp][] = [
    [{ creds: inFile('c', `${seed}\n`) }, /LOCKSTEP_NATS_CREDS: .*something else in it/],
    [{ nkey: inFile('d', creds) }, /LOCKSTEP_NATS_NKEY: .*seed of a user/],
    [{ nkey: inFile('e', accountSeed()) }, /LOCKSTEP_NATS_NKEY: .*seed of a user/],
    [{ ca: inFile('f', 'hunter2') }, /LOCKSTEP_NATS_CA: .*PEM file with certificates/],
    [{ cert: folder, key: 'x' }, /LOCKSTEP_NATS_CERT: .*\n.*LOCKSTEP_NATS_KEY: given "x"/],
    [{ nkey: inFile('g', 'x'.repeat(300_000)) }, /more than 262144 bytes/],
    [
      { key: `-----BEGIN PRIVATE KEY-----\n${'hunter2'.repeat(9)}` },
      /given "a text of 91 letters"/,
    ],
  ];
  for (const [login, says] of allowed) assert.match(refusal(login), says);
});

function accountSeed(): string {
  return Buffer.from(nkeys.createAccount().getSeed()).toString();
}

test('two ways at once are refused', () => {
  assert.match(refusal({ creds, nkey: seed }), /CREDS and LOCKSTEP_NATS_NKEY"; allowed: one of/);
  assert.match(refusal({ creds }, 'nats://me:hunter2@host'), /"a login in the url and LOCKSTEP/);
});

test('a certificate comes with its own key', { skip: skipWithoutOpenssl }, () => {
  const authority = makeAuthority(folder);
  const [a, b] = [authority.sign('a'), authority.sign('b')];
  assert.ok(parseNatsUrl(url, undefined, { ca: authority.ca, ...a }).login);
  assert.match(refusal({ cert: a.cert }), /LOCKSTEP_NATS_KEY: missing; allowed: beside LOCKSTEP/);
  assert.match(refusal({ key: a.key }), /LOCKSTEP_NATS_CERT: missing; allowed: beside LOCKSTEP/);
  assert.match(refusal({ cert: a.cert, key: b.key }), /the key of the certificate in LOCKSTEP_N/);
});

test('the environment has the login, whoever names the server', () => {
  const file = inFile('h.nk', seed);
  const environment = parseEnvironment({ LOCKSTEP_NATS_NKEY: file, LOCKSTEP_NATS_URL: url });
  const login = environment.natsLogin;
  assert.deepEqual(chosenNats('nats://other', environment), { url: 'nats://other', login });
  assert.deepEqual(chosenNats(undefined, environment), { url, login });
  assert.equal(login?.nkey, file);
  const missing = parseEnvironment({ LOCKSTEP_NATS_NKEY: `${file}.gone` });
  assert.equal(chosenNats(undefined, missing), undefined);
  assert.throws(() => chosenNats(url, missing), /this is no login to NATS/);
});
