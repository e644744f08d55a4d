// Metrics and page of a closed run over HTTPS: observers and operators by their certificates, probes
// without one.

import assert from 'node:assert/strict';
import { request } from 'node:https';
import { after, test } from 'node:test';
import type { HttpAccess } from '../../../shared/http/access.js';
import { metricsAccess, probes } from '../../../shared/http/metrics-access.js';
import { startHttpServer, type Handler } from '../../../shared/http/server.js';
import { openCertificates, type Certificates } from '../../../shared/tls/certificates.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';

const endings: (() => unknown)[] = [];
const refusals: string[] = [];
after(() => Promise.all(endings.map((end) => end())));

const [coordinator, observer] = [{ role: 'coordinator' }, { role: 'observer' }] as const;
const worker = { role: 'worker', worker: 'w-1' } as const;

function open(folder: string, holder: Certificates['holder']): Certificates {
  const certificates = openCertificates({ folder, holder, lookMs: 20 });
  endings.push(certificates.close);
  return certificates;
}

async function serve(access: HttpAccess): Promise<number> {
  const answer: Handler = (_, response) => void response.end('here');
  const routes = new Map(['/metrics', '/healthz'].map((path) => [path, answer]));
  const place = { host: '127.0.0.1', port: 0, key: '--metrics' };
  const onRefused = (_: string, reason: string): void => void refusals.push(reason);
  const server = await startHttpServer({ ...place, access, routes, openPaths: probes, onRefused });
  endings.push(server.close);
  return server.port;
}

interface Asking {
  readonly as?: Certificates;
  readonly path?: string;
  readonly headers?: Record<string, string>;
}

/** The status of the answer. */
function ask(port: number, { as, path = '/metrics', headers = {} }: Asking): Promise<number> {
  const { cert, key } = as?.now() ?? {};
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', path, headers, agent: false as const };
    const asking = request({ ...options, cert, key, rejectUnauthorized: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asking.on('error', reject).end();
  });
}

test('observers see metrics, probes need no certificate, and nobody else is answered', async () => {
  const { folder, authority } = await createTlsFolder('faces', [coordinator, observer, worker]);
  const port = await serve(metricsAccess('0.0.0.0:9464', open(folder, coordinator)));
  const stranger = await createTlsFolder('faces', [observer]);
  const ofOther = await createTlsFolder('flowers', [observer], authority);
  assert.equal(await ask(port, { as: open(folder, observer) }), 200);
  assert.equal(await ask(port, { path: '/healthz' }), 200);
  assert.equal(await ask(port, {}), 403);
  assert.equal(await ask(port, { as: open(folder, worker) }), 403);
  assert.equal(await ask(port, { as: open(stranger.folder, observer) }), 403);
  assert.equal(await ask(port, { as: open(ofOther.folder, observer) }), 403);
  assert.deepEqual(metricsAccess('127.0.0.1:9464', open(folder, coordinator)), { kind: 'open' });
});

test('a token does where there is no certificate', async () => {
  const { folder } = await createTlsFolder('faces', [coordinator]);
  const token = 'a token of some length';
  const certificates = open(folder, coordinator);
  const port = await serve({ kind: 'certificate', certificates, token });
  assert.equal(await ask(port, { headers: { authorization: `Bearer ${token}` } }), 200);
  refusals.length = 0;
  assert.equal(await ask(port, { headers: { authorization: 'Bearer another one' } }), 401);
  assert.equal(refusals.length, 1);
  assert.match(refusals[0] ?? '', /A token is needed/);
});

test('an authority that is replaced counts for the next connection', async () => {
  const { folder } = await createTlsFolder('faces', [coordinator, observer]);
  const certificates = open(folder, coordinator);
  const port = await serve(metricsAccess('0.0.0.0:9464', certificates));
  const older = open(folder, observer);
  assert.equal(await ask(port, { as: older }), 200);
  const next = await createTlsFolder('faces', [coordinator, observer]);
  const renewed = new Promise((resolve) => certificates.onChange(resolve));
  next.copyTo(folder, [coordinator]);
  await renewed;
  assert.equal(await ask(port, { as: older }), 403);
  assert.equal(await ask(port, { as: open(next.folder, observer) }), 200);
});
