// Every way to log in to a real nats-server: what the bus publishes arrives, and with another key,
// certificate or authority the reason is said, and no secret with it.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createNatsLease } from '../../coordinator/edge/nats-lease.js';
import { createNatsBus } from '../../shared/events/nats-bus.js';
import { readNatsEvents } from '../../shared/events/nats-history.js';
import type { NatsLogin } from '../../shared/events/nats-login.js';
import { skipWithout, startNatsServer, type TestServer } from '../support/servers.js';
import { testFolder } from '../support/tiny-run.js';
import { until } from '../support/until.js';
import { anyEvent } from '../support/watch/events.js';
import { makeAuthority, makeCreds, makeNkey, tlsSettings } from '../support/watch/logins.js';
import { skipWithoutOpenssl } from '../support/watch/logins.js';

const folder = testFolder();

async function startWith(settings: string): Promise<TestServer> {
  const config = join(folder, `nats-${Math.random()}.conf`);
  await writeFile(config, settings);
  return startNatsServer(['-c', config]);
}

async function inFile(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

/** Publishes an event and reads it again; holds the lease meanwhile. */
async function requireAccess(url: string, login?: NatsLogin): Promise<void> {
  const notices: string[] = [];
  const address = { url, login, onNotice: (text: string) => void notices.push(text) };
  const lease = createNatsLease({ ...address, key: 'k', holder: 'h' });
  await lease.acquire(AbortSignal.timeout(10_000));
  const bus = createNatsBus({ ...address, run: 'r' });
  bus.publish(anyEvent('r', 'run.scaled', 'scaled', { workers: 2 }));
  assert.equal(await bus.flush(10_000), 0, notices.join('\n'));
  await bus.close();
  await lease.release();
  const read = [];
  for await (const event of readNatsEvents({ url, login, run: 'r' })) read.push(event.id);
  assert.deepEqual(read, ['r/scaled']);
  assert.deepEqual(notices, []);
}

/** What the bus says when it can't publish. */
async function noticeOf(url: string, login?: NatsLogin): Promise<string> {
  const notices: string[] = [];
  const onNotice = (text: string): void => void notices.push(text);
  const bus = createNatsBus({ url, login, run: 'r', onNotice });
  bus.publish(anyEvent('r', 'run.scaled', 'scaled', { workers: 2 }));
  await until(() => notices.length > 0, 'a notice');
  await bus.close();
  return notices.join('\n');
}

const at = ({ url }: TestServer, login: string): string => url.replace('://', `://${login}@`);

describe('NATS is logged in to', { skip: skipWithout('nats-server') }, () => {
  test('with a token', async () => {
    const server = await startWith('authorization { token: "s3cret" }');
    await requireAccess(at(server, 's3cret'));
    const notice = await noticeOf(at(server, 'an0ther'));
    assert.match(notice, /is away: it refuses the credentials/);
    assert.doesNotMatch(notice, /an0ther/);
    await server.close();
  });

  test('with an nkey, from a file or as a text', async () => {
    const { seed, settings } = makeNkey();
    const server = await startWith(settings);
    await requireAccess(server.url, { nkey: await inFile('user.nk', `${seed}\n`) });
    await requireAccess(server.url, { nkey: seed });
    const other = makeNkey().seed;
    const notice = await noticeOf(server.url, { nkey: other });
    assert.match(notice, /is away: it refuses the credentials/);
    assert.ok(!notice.includes(other));
    await server.close();
  });

  test('with credentials of a user, read anew when they were replaced', async () => {
    const { creds, settings } = makeCreds();
    const server = await startWith(settings);
    await requireAccess(server.url, { creds: await inFile('user.creds', creds) });
    await requireAccess(server.url, { creds });
    const path = await inFile('replaced.creds', makeCreds().creds);
    const notices: string[] = [];
    const onNotice = (text: string): void => void notices.push(text);
    const bus = createNatsBus({ url: server.url, login: { creds: path }, run: 'r', onNotice });
    bus.publish(anyEvent('r', 'run.scaled', 'scaled-2', { workers: 3 }));
    await until(() => notices.length > 0, 'a notice');
    assert.match(notices[0] ?? '', /is away: it refuses the credentials/);
    await inFile('replaced.creds', creds);
    await until(async () => (await bus.flush(1_000)) === 0, 'the event is out');
    await bus.close();
    await server.close();
  });

  test('over TLS by an own authority', { skip: skipWithoutOpenssl }, async () => {
    const [ours, others] = [makeAuthority(folder), makeAuthority(folder, 'others')];
    const server = await startWith(tlsSettings(ours.sign('server')));
    await requireAccess(server.url, { ca: ours.ca });
    await requireAccess(server.url.replace('nats:', 'tls:'), { ca: ours.ca });
    const unknown = /is away: its certificate is signed by .*LOCKSTEP_NATS_CA/;
    assert.match(await noticeOf(server.url), unknown);
    assert.match(await noticeOf(server.url, { ca: others.ca }), unknown);
    await server.close();

    const elsewhere = await startWith(tlsSettings(ours.sign('elsewhere', 'DNS:elsewhere')));
    const notice = await noticeOf(elsewhere.url, { ca: ours.ca });
    assert.match(notice, /is away: its certificate is for another host/);
    await elsewhere.close();

    const plain = await startWith('');
    assert.match(await noticeOf(plain.url, { ca: ours.ca }), /is away: TLS can't be agreed on/);
    await plain.close();
  });

  test('with a certificate of its own', { skip: skipWithoutOpenssl }, async () => {
    const [ours, others] = [makeAuthority(folder), makeAuthority(folder, 'others')];
    const { ca } = ours;
    const server = await startWith(tlsSettings(ours.sign('server'), ca));
    await requireAccess(server.url, { ca, ...ours.sign('client') });
    // The alert that says so may be overtaken by the end of the connection.
    const refused = /is away: it (asks for a certificate .*LOCKSTEP_NATS_CERT|closes the conn)/;
    assert.match(await noticeOf(server.url, { ca }), refused);
    assert.match(await noticeOf(server.url, { ca, ...others.sign('client') }), refused);
    await server.close();
  });
});
