// The HTTP server that pages and numbers are served by: who is answered, what is refused, and that
// nothing that a client sends ends it.

import assert from 'node:assert/strict';
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import {
  parseHttpPlace,
  startHttpServer,
  type Handler,
  type HttpServer,
} from '../../../shared/http/server.js';
import type { HttpAccess } from '../../../shared/http/access.js';
import { OperatorError } from '../../../shared/problems.js';

const say =
  (text: string): Handler =>
  (_request, response) =>
    void response.end(text);
const routes = new Map<string, Handler>([
  ['/', say('page')],
  ['/one', say('one')],
  ['/files/', (_request, response, url) => void response.end(`file ${url.pathname}`)],
  ['/stream', (_request, response) => void response.write('first')],
  ['/broken', () => Promise.reject(new Error('a secret'))],
  ['POST /one', say('posted')],
  ['/healthz', say('ok')],
]);
const start = (access: HttpAccess, host = '127.0.0.1', port = 0) =>
  startHttpServer({ host, port, key: '--http', access, routes, openPaths: ['/healthz'] });

let server: HttpServer;
let guarded: HttpServer;
const token = 'a token with=signs; and "marks"';

before(async () => {
  server = await start({ kind: 'loopback' });
  guarded = await start({ kind: 'token', token });
});
after(() => Promise.all([server.close(), guarded.close()]));

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** The path goes out as it is, which `fetch` would not do. */
function ask({ port }: HttpServer, path: string, options: object = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, ...options }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      const { statusCode: status, headers } = response;
      response.on('end', () => resolve({ status, headers, body }));
    });
    asked.on('error', reject).end();
  });
}

test('the longest route that fits a path answers', async () => {
  const bodies = ['/', '/one', '/one?x=1', '/files/a/b', '/other', '/files'].map(
    async (path) => (await ask(server, path)).body,
  );
  assert.deepEqual(await Promise.all(bodies), [
    ...['page', 'one', 'one', 'file /files/a/b', 'page', 'page'],
  ]);
  assert.equal((await ask(server, '/one', { method: 'POST' })).body, 'posted');
  for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])
    assert.equal((await ask(server, '/one', { method })).status, 405, method);
  assert.equal((await ask(server, '/one', { method: 'HEAD' })).body, '');
});

test('pages of other places and names that others gave this machine are refused', async () => {
  const statusOf = async (headers: object) => (await ask(server, '/one', { headers })).status;
  assert.equal(await statusOf({ host: 'rebound.example' }), 403);
  assert.equal(await statusOf({ host: `localhost:${server.port}` }), 200);
  assert.equal(await statusOf({ origin: 'http://example.com' }), 403);
  assert.equal(await statusOf({ origin: `http://127.0.0.1:${server.port}` }), 200);
  const { headers } = await ask(server, '/one');
  assert.match(String(headers['content-security-policy']), /default-src 'none'/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
});

test('with a token: it is given once in the address, and never without it', async () => {
  assert.equal((await ask(guarded, '/one')).status, 401);
  assert.equal((await ask(guarded, '/?token=wrong')).status, 401);
  assert.equal((await ask(guarded, '/healthz')).body, 'ok');
  assert.equal((await ask(guarded, '/healthz/')).status, 401);
  const greeted = await ask(guarded, `/one?token=${encodeURIComponent(token)}`);
  assert.deepEqual([greeted.status, greeted.headers.location], [303, '/']);
  const [cookie = ''] = greeted.headers['set-cookie'] ?? [];
  assert.match(cookie, /; HttpOnly; SameSite=Strict$/);
  assert.ok(!cookie.includes(token) && !greeted.body.includes(token));
  const [pair = ''] = cookie.split(';');
  const withHeaders = async (headers: object) => (await ask(guarded, '/one', { headers })).status;
  assert.equal(await withHeaders({ cookie: `other=1; ${pair}` }), 200);
  assert.equal(await withHeaders({ cookie: `${pair}0` }), 401);
  assert.equal(await withHeaders({ authorization: `Bearer ${token}` }), 200);
  assert.equal(await withHeaders({ authorization: `Bearer ${token}.` }), 401);
});

test('whatever is asked for, the server answers and stays', async () => {
  const odd = fc.stringMatching(/^[!-~]{0,80}$/);
  const parts = fc.constantFrom(
    '..',
    '%2e%2e',
    '%00',
    '%',
    '//',
    '?',
    '#',
    'files',
    '/',
    '\\',
    '@',
  );
  const paths = fc.array(fc.oneof(odd, parts), { maxLength: 8 }).map((all) => `/${all.join('')}`);
  await fc.assert(
    fc.asyncProperty(paths, async (path) => {
      const { status } = await ask(server, path);
      assert.ok(status === 200 || status === 400 || status === 500, `${path}: ${status}`);
      if (path.startsWith('/broken')) return;
      assert.notEqual(status, 500, path);
    }),
    { numRuns: 300 },
  );
  assert.equal((await ask(server, `/${'a'.repeat(3000)}`)).status, 414);
  assert.equal((await ask(server, '/', { headers: { range: 'bytes=9-1,0-' } })).body, 'page');
  const broken = await ask(server, '/broken');
  assert.equal(broken.status, 500);
  assert.doesNotMatch(broken.body, /secret/);
  for (const bytes of ['GET\r\n\r\n', '\0\0\0', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'])
    await new Promise((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => socket.end(bytes));
      socket
        .resume()
        .on('error', () => undefined)
        .on('close', resolve);
    });
  assert.equal((await ask(server, '/one')).body, 'one');
});

test('closing ends streams that are open, and connections that are kept', async () => {
  const other = await start({ kind: 'open' });
  const answer = await fetch(new URL('stream', other.url));
  const rest = answer.text();
  rest.catch(() => undefined);
  await other.close();
  await assert.rejects(rest);
  await assert.rejects(fetch(other.url));
});

test('a place is parsed, and one that cannot be had is a problem with the flag’s name', async () => {
  assert.deepEqual(parseHttpPlace('[::1]:80'), { host: '::1', port: 80 });
  assert.deepEqual(parseHttpPlace(':7480'), { host: '127.0.0.1', port: 7480 });
  assert.deepEqual(parseHttpPlace('a-b.example:0'), { host: 'a-b.example', port: 0 });
  for (const text of ['', '80', 'a:', 'a:70000', '::1:80', 'a b:1', 'http://a:1'])
    assert.equal(parseHttpPlace(text), undefined, text);
  const refused = (pattern: RegExp) => (error: unknown) =>
    error instanceof OperatorError && pattern.test(error.message);
  await assert.rejects(
    start({ kind: 'open' }, '127.0.0.1', server.port),
    refused(/--http: given "127\.0\.0\.1:\d+"; allowed: a port that nobody listens on/),
  );
  await assert.rejects(start({ kind: 'open' }, '203.0.113.1'), refused(/--http: .*this machine/));
  const files = { cert: Buffer.from('no'), key: Buffer.from('no') };
  await assert.rejects(start({ kind: 'tls', ...files }), refused(/--http-cert/));
});
