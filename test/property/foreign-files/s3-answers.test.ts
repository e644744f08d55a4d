// An S3 server that answers as none should: without end, with more than was asked for, with lists
// that go in circles. A store takes no more of it than it asked for, and ends.

import assert from 'node:assert/strict';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createS3Store } from '../../../shared/store/s3-store.js';
import {
  StoreUnavailable,
  type ObjectInfo,
  type ObjectStore,
} from '../../../shared/store/store.js';

async function storeAt(t: TestContext, listener: RequestListener): Promise<ObjectStore> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const store = createS3Store(
    { kind: 's3', url: 's3://bucket/run', bucket: 'bucket', prefix: 'run/' },
    {
      s3: {
        ...{ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1' },
        ...{ accessKeyId: 'id', secretAccessKey: 'secret', idleTimeoutMs: 5_000 },
      },
    },
  );
  t.after(async () => {
    await store.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return store;
}

const piece = Buffer.alloc(64 * 1024, 'a');

/** Writes for as long as somebody reads. */
function writeOn(response: ServerResponse): void {
  const write = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', write);
  write();
}

async function keysOf(store: ObjectStore, most = 5_000): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const info of store.list('')) {
    found.push(info);
    assert.ok(found.length < most, 'the list goes on and on');
  }
  return found;
}

test('of a body without end as much is read as was asked for, and one byte', async (t) => {
  const store = await storeAt(t, (_request, response) => {
    response.writeHead(206, { 'content-range': 'bytes 0-9/10' });
    writeOn(response);
  });
  assert.equal((await store.get('a', { start: 0, end: 10 })).length, 11);
});

test('a server without ranges is read up to the end of the range', async (t) => {
  const store = await storeAt(t, (_request, response) => {
    response.writeHead(200);
    writeOn(response);
  });
  const bytes = await store.get('a', { start: 100_000, end: 100_010 });
  assert.equal(bytes.toString(), 'aaaaaaaaaa');
});

for (const [what, status] of [['a page of a list', 200] as const, ['an error', 400] as const])
  test(`${what} without end is given up`, async (t) => {
    const store = await storeAt(t, (_request, response) => {
      response.writeHead(status, { 'content-type': 'application/xml' });
      writeOn(response);
    });
    await assert.rejects(keysOf(store), /an answer of over 16777216 bytes|can't list everything/);
    assert.ok(process.memoryUsage().arrayBuffers < 200 * 1024 * 1024);
  });

const page = (key: string, size: string, token?: string): string =>
  `<?xml version="1.0"?><ListBucketResult><IsTruncated>${token !== undefined}</IsTruncated>` +
  (token === undefined ? '' : `<NextContinuationToken>${token}</NextContinuationToken>`) +
  `<Contents><Key>${key}</Key><Size>${size}</Size></Contents></ListBucketResult>`;

test('a list that gives the same page again and again is given up', async (t) => {
  const store = await storeAt(t, (_request, response) => response.end(page('run/a', '1', 'same')));
  await assert.rejects(keysOf(store), (error: Error) => {
    assert.match(error.message, /the server's list has no end/);
    return error instanceof StoreUnavailable;
  });
});

test('keys of another prefix, and sizes that are none, are not believed', async (t) => {
  const pages = [
    ...[page('elsewhere/a', '1', '1'), page('run/b', '-5', '2'), page('run/c', '1e400', '3')],
    page('run/d', '7'),
  ];
  const store = await storeAt(t, (_request, response) => response.end(pages.shift()));
  assert.deepEqual(await keysOf(store), [
    { key: 'b', bytes: 0 },
    { key: 'c', bytes: 0 },
    { key: 'd', bytes: 7 },
  ]);
});

test('what a server says can be shown on a terminal', async (t) => {
  const store = await storeAt(t, (_request, response) => {
    response.writeHead(409, { 'content-type': 'application/xml' });
    const message = 'a&#27;[31mred&#7;';
    response.end(
      `<?xml version="1.0"?><Error><Code>Odd</Code><Message>${message}</Message></Error>`,
    );
  });
  await assert.rejects(store.get('a'), ({ message }: Error) => {
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(message, /[\u0000-\u001f]/);
    return true;
  });
});
