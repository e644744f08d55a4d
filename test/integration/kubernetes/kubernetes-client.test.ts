// The client of the API server against refusals, waits, lost answers, watches that end, and logs
// that break off: on real sockets, with a server that does each on demand.

import assert from 'node:assert/strict';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { afterEach, beforeEach, test } from 'node:test';
import {
  createClusterClient,
  type ClusterClient,
} from '../../../cli/kubernetes/client/cluster-client.js';
import { podLog, watchObjects } from '../../../cli/kubernetes/client/streams.js';
import { explain } from '../../../cli/kubernetes/cluster-access.js';
import { CommandFailed } from '../../../cli/failure.js';
import { ClusterError } from '../../../shared/kubernetes/refusal.js';
import { OperatorError } from '../../../shared/problems.js';
import { FakeApiServer } from '../../support/kubernetes/fake-api-server.js';
import { until } from '../../support/until.js';

const limits = { attempts: 4, firstMs: 5, longestMs: 20 };
let server: FakeApiServer;
let waits: string[];
let client: ClusterClient;

beforeEach(async () => {
  server = await new FakeApiServer().listen();
  waits = [];
  const onWait = (text: string) => void waits.push(text);
  client = createClusterClient(server.config(), { onWait, limits, silentMs: 300 });
});
afterEach(() => server.close());

const configMap = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'n' },
  data,
});
const mapPath = (name: string) => `/api/v1/namespaces/n/configmaps/${name}`;

test('an object is created, read, applied, patched and deleted', async () => {
  assert.equal(await client.get('ConfigMap', 'n', 'a'), undefined);
  await client.create(configMap('a', { x: '1' }));
  await client.apply(configMap('a', { y: '2' }));
  await client.patch('ConfigMap', 'n', 'a', { data: { x: '3' } });
  assert.deepEqual((await client.get<V1ConfigMap>('ConfigMap', 'n', 'a'))?.data, {
    ...{ x: '3', y: '2' },
  });
  assert.equal(await client.remove('ConfigMap', 'n', 'a'), true);
  assert.equal(await client.remove('ConfigMap', 'n', 'a'), false);
  const applied = server.requests.find(({ method }) => method === 'PATCH');
  assert.equal(applied?.contentType, 'application/apply-patch+yaml');
  assert.equal(applied?.query.get('fieldManager'), 'lockstep');
  assert.equal(applied?.query.get('fieldValidation'), 'Strict');
  const deleted = server.requests.find(({ method }) => method === 'DELETE');
  assert.deepEqual(JSON.parse(deleted?.body ?? ''), { propagationPolicy: 'Foreground' });
});

test('429 is waited out as long as the server asks', async () => {
  await client.create(configMap('a'));
  server.inflict({ status: 429, reason: 'TooManyRequests', retryAfterS: 1, times: 1 });
  const startMs = performance.now();
  assert.ok(await client.get('ConfigMap', 'n', 'a'));
  assert.ok(performance.now() - startMs >= 990);
  assert.match(waits.join('\n'), /^read ConfigMap a: HTTP 429: TooManyRequests.*again in 1\.0 s$/);
});

test('a server that stays overloaded is given up after the last attempt', async () => {
  server.inflict({ status: 503, reason: 'ServiceUnavailable' });
  await assert.rejects(client.get('ConfigMap', 'n', 'a'), { status: 503 });
  assert.equal(server.requests.length, limits.attempts);
});

test('a refusal is not tried again', async () => {
  for (const [status, reason] of [
    [403, 'Forbidden'],
    [422, 'Invalid'],
    [409, 'Conflict'],
  ] as const) {
    const before = server.requests.length;
    server.inflict({ status, reason, times: 1 });
    await assert.rejects(client.apply(configMap('a')), { status, reason });
    assert.equal(server.requests.length, before + 1);
  }
  assert.deepEqual(waits, []);
});

test('a connection that is lost before the answer or within it is tried again', async () => {
  await client.create(configMap('a'));
  server.inflict({ cut: 'before', times: 1 });
  server.inflict({
    times: 1,
    answer(_, response) {
      response.writeHead(200, { 'content-length': '1000', 'content-type': 'application/json' });
      response.write('{"kind":', () => response.destroy());
      return true;
    },
  });
  assert.equal((await client.get('ConfigMap', 'n', 'a'))?.metadata?.name, 'a');
  assert.equal(waits.length, 2);
});

test('a server that says nothing is asked again', async () => {
  await client.create(configMap('a'));
  server.inflict({ times: 1, answer: () => true });
  assert.ok(await client.get('ConfigMap', 'n', 'a'));
  assert.match(waits.join(), /no answer within 0\.3 s/);
});

test('a create whose answer is lost makes one object, and says that it is there', async () => {
  server.inflict({ method: 'POST', cut: 'after', times: 1 });
  assert.equal(await client.create(configMap('a', { x: '1' })), undefined);
  assert.deepEqual(server.objects.get(mapPath('a'))?.data, { x: '1' });
  assert.equal(server.requests.filter(({ method }) => method === 'POST').length, 2);
});

test('a cluster out of reach is said to be', async () => {
  await server.close();
  const told = await client.get('ConfigMap', 'n', 'a').catch((error: unknown) => error);
  assert.ok(told instanceof CommandFailed);
  assert.match(told.message, /the cluster at http:\/\/127.0.0.1:\d+ can't be reached/);
  server = await new FakeApiServer().listen();
});

test('a conflict with another field manager names the field and who has set it', async () => {
  const message = 'conflict with "kubectl-edit" using v1';
  const cause = { reason: 'FieldManagerConflict', message, field: '.data.x' };
  server.inflict({ status: 409, reason: 'Conflict', details: { causes: [cause] } });
  const error = await client.apply(configMap('a')).catch((caught: unknown) => caught);
  assert.ok(error instanceof ClusterError);
  const told = explain(error);
  assert.ok(told instanceof OperatorError);
  assert.match(told.message, /\.data\.x: given "conflict with \\"kubectl-edit\\" using v1"/);
});

test('a patch of a version that is no longer the newest is refused', async () => {
  const root = await client.create<V1ConfigMap>(configMap('a', { x: '1' }));
  const { resourceVersion } = root?.metadata ?? assert.fail();
  await client.patch('ConfigMap', 'n', 'a', { metadata: { resourceVersion }, data: { x: '2' } });
  await assert.rejects(
    client.patch('ConfigMap', 'n', 'a', { metadata: { resourceVersion }, data: { x: '3' } }),
    { status: 409 },
  );
});

test('a list in pages starts again when the server has forgotten where it was', async () => {
  const pages: [string | null, number, object][] = [
    [null, 200, { items: [configMap('old')], metadata: { continue: 'p2' } }],
    ['p2', 410, { reason: 'Expired' }],
    [null, 200, { items: [configMap('a')], metadata: { continue: 'p2' } }],
    ['p2', 200, { items: [configMap('b')], metadata: { resourceVersion: '7' } }],
  ];
  server.inflict({
    answer(request, response) {
      const [next, status, body] = pages.shift() ?? assert.fail('too many pages');
      assert.equal(request.query.get('continue'), next);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMapList', ...body }));
      return true;
    },
  });
  const { items, resourceVersion } = await client.list('ConfigMap', 'n');
  const names = items.map(({ metadata }) => metadata?.name);
  assert.deepEqual(names, ['a', 'b']);
  assert.equal(resourceVersion, '7');
});

/** Follows the ConfigMaps of the namespace; answers what is known of them at any time. */
function follow() {
  const stop = new AbortController();
  const state = { names: [] as string[], error: undefined as unknown };
  const target = { kind: 'ConfigMap', namespace: 'n', selection: {} } as const;
  const done = (async () => {
    for await (const known of watchObjects<V1ConfigMap>(client, target, stop.signal))
      state.names = [...known].map(([name, { data }]) => `${name}=${data?.['x'] ?? ''}`).sort();
  })().catch((error: unknown) => (state.error = error));
  const end = async () => {
    stop.abort();
    await done;
  };
  return { state, done, end };
}

const lists = () =>
  server.requests.filter(({ method, query }) => method === 'GET' && query.get('watch') === null)
    .length;
const watchVersions = () =>
  server.requests
    .filter(({ query }) => query.get('watch'))
    .map(({ query }) => query.get('resourceVersion'));

test('a watch that ends or breaks off is taken up where it was, without another list', async () => {
  server.change(mapPath('a'), configMap('a', { x: '1' }));
  const { state, end } = follow();
  await until(() => server.watches === 1, 'a watch');
  server.change(mapPath('a'), { data: { x: '2' } });
  await until(() => state.names.join() === 'a=2', 'the change');
  for (const how of ['end', 'cut'] as const) {
    server.endWatches(how);
    // While nobody watches.
    server.change(mapPath('b'), configMap('b', { x: how }));
    await until(() => state.names.join() === `a=2,b=${how}`, `the change after ${how}`);
  }
  server.remove(mapPath('a'));
  await until(() => state.names.join() === 'b=cut', 'the deletion');
  await end();
  assert.equal(state.error, undefined);
  assert.equal(lists(), 1);
  const versions = watchVersions().map(Number);
  const inOrder = [...versions].sort((a, b) => a - b);
  assert.deepEqual(versions, inOrder);
  assert.ok(new Set(versions).size >= 3, versions.join());
});

const expired = { kind: 'Status', code: 410, reason: 'Expired' };
const expiries = {
  'as an event': () => server.endWatches({ type: 'ERROR', object: expired }),
  'as an answer': () => {
    server.inflict({ status: 410, reason: 'Expired', times: 1 });
    server.endWatches('end');
  },
};
for (const [name, expire] of Object.entries(expiries))
  test(`a version that the server has forgotten (410, ${name}) leads to a new list`, async () => {
    server.change(mapPath('a'), configMap('a', { x: '1' }));
    const { state, end } = follow();
    await until(() => server.watches === 1 && state.names.join() === 'a=1', 'a watch');
    // Deletions that were missed show only in a list.
    server.endWatches('end');
    server.objects.delete(mapPath('a'));
    server.objects.set(mapPath('c'), { ...configMap('c', { x: '3' }), metadata: { name: 'c' } });
    await until(() => server.watches === 1, 'another watch');
    expire();
    await until(() => state.names.join() === 'c=3', 'the new list');
    await end();
    assert.equal(lists(), 2);
  });

test('a watch that is refused ends with the refusal', async () => {
  server.inflict({
    answer({ query }, response) {
      if (query.get('watch') === null) return false;
      response.writeHead(403).end('{"reason":"Forbidden","message":"no watch for you"}');
      return true;
    },
  });
  const { state, done } = follow();
  await done;
  assert.ok(state.error instanceof ClusterError);
  assert.deepEqual([state.error.status, state.error.message], [403, 'HTTP 403: no watch for you']);
});

test('a log that breaks off is taken up behind the last line that was shown', async () => {
  const line = (fraction: string, text: string) => `2026-11-25T12:00:00.${fraction}Z ${text}\n`;
  const before = line('1', 'one') + line('2', 'two') + line('2', 'two again');
  const asked: (string | null)[] = [];
  server.inflict({
    answer({ query }, response) {
      asked.push(query.get('sinceTime'));
      if (asked.length === 1) {
        response.writeHead(200, { 'transfer-encoding': 'chunked' });
        response.write(before, () => response.destroy());
      } else response.end(before + line('25', 'three'));
      return true;
    },
  });
  const lines: string[] = [];
  const request = { namespace: 'n', pod: 'p', container: 'c', follow: true };
  for await (const text of podLog(client, request)) lines.push(text);
  assert.deepEqual(lines, ['one', 'two', 'two again', 'three']);
  assert.deepEqual(asked, [null, '2026-11-25T12:00:00Z']);
});

test('a container that has not started has no log yet', async () => {
  const message = 'container "c" in pod "p" is waiting to start: ContainerCreating';
  server.inflict({ status: 400, message });
  const request = { namespace: 'n', pod: 'p', container: 'c', follow: false };
  for await (const text of podLog(client, request)) assert.fail(text);
});
