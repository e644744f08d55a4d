// Peers on one host: through Unix sockets in a folder that is private and goes with its worker, and
// by TCP where that can't be. Real servers; an address that leads nowhere shows which way it was.

import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';

import type { World } from '../../../shared/words.js';
import { exchangeServerOptions } from '../../../worker/exchange/grpc.js';
import {
  createSocketFolder,
  listenLocally,
  localAddress,
  removeLeftFolders,
} from '../../../worker/exchange/local-sockets.js';
import {
  assertSameBits,
  contribute,
  createVectors,
  reference,
  resultOf,
  bind,
  TestExchange,
} from './exchange-worlds.js';

const nowhere = '127.0.0.1:1';
const floats = 100_000;

/** The path in gRPC's address of a socket. */
function pathOf(address: string | undefined): string {
  assert.match(address ?? '', /^unix:\/.+\/lockstep-exchange-[0-9a-f]{32}\/\d$/);
  return (address ?? '').slice('unix:'.length);
}

/** One step of two workers, whose members are as `reach` says of their address and socket. */
async function oneStep(
  reach: (address: string, socket: string) => { address: string; socket: string },
): Promise<void> {
  const workers = await Promise.all(
    [0, 1].map(async (rank) => {
      const server = new grpc.Server(exchangeServerOptions);
      const exchange = new TestExchange(server, { dialMs: 8_000 });
      const folder = createSocketFolder();
      assert.ok(folder !== undefined && (await listenLocally(server, folder.name, 0)));
      const member = { rank, worker: `w${rank}`, incarnation: 1 };
      return { server, exchange, folder, member, address: await bind(server) };
    }),
  );
  const members = workers.map(({ member, address, folder }) => {
    return { ...member, ...reach(address, folder.name) };
  });
  const world: World = { generation: 1, members };
  try {
    const worlds = workers.map((_, rank) => {
      return { world, rank, ...createVectors(rank, 2, 4, floats) };
    });
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
    for (const one of worlds) contribute(one, 0, floats);
    await Promise.all(workers.map(({ exchange }) => exchange.allReduce(0, floats)));
    for (const one of worlds)
      assertSameBits(resultOf(one, 0, floats), reference(0, 4, floats), `rank ${one.rank}`);
  } finally {
    await Promise.all(workers.map(({ exchange }) => exchange.close()));
    for (const { server, folder } of workers) {
      server.forceShutdown();
      folder.close();
    }
  }
}

test('a socket is found in a private folder, and is gone with it', async () => {
  const folder = createSocketFolder();
  assert.ok(folder);
  const server = new grpc.Server();
  try {
    assert.equal(localAddress(folder.name, 0), undefined, 'nothing listens yet');
    assert.equal(await listenLocally(server, folder.name, 0), true);
    const path = pathOf(localAddress(folder.name, 0));
    assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
    assert.equal(localAddress(folder.name, 1), undefined, 'another lane');
    assert.equal(localAddress(undefined, 0), undefined, 'a peer without sockets');
    chmodSync(dirname(path), 0o755);
    assert.equal(localAddress(folder.name, 0), undefined, 'a folder that others can open');
    chmodSync(dirname(path), 0o700);
    folder.close();
    assert.equal(localAddress(folder.name, 0), undefined);
    mkdirSync(dirname(path), { mode: 0o700 });
    symlinkSync('/dev/null', path);
    assert.equal(localAddress(folder.name, 0), undefined, 'no socket');
  } finally {
    server.forceShutdown();
    folder.close();
  }
});

test('peers of one host exchange through sockets', async () => {
  await oneStep((_, socket) => ({ address: nowhere, socket }));
});

test('a socket that nobody listens at is passed over', async () => {
  const stale = createSocketFolder();
  assert.ok(stale);
  const server = new grpc.Server();
  await listenLocally(server, stale.name, 0);
  const path = pathOf(localAddress(stale.name, 0));
  server.forceShutdown();
  rmSync(path, { force: true });
  // What a process leaves that is killed: the file, and nobody behind it.
  await leaveSocket(path);
  try {
    assert.ok(localAddress(stale.name, 0) !== undefined);
    await oneStep((address) => ({ address, socket: stale.name }));
  } finally {
    stale.close();
  }
});

test('folders that killed workers have left are removed, and no others', async () => {
  const [left, served, fresh] = [1, 2, 3].map(() => createSocketFolder());
  assert.ok(left && served && fresh);
  const server = new grpc.Server();
  try {
    for (const { name } of [left, served]) await listenLocally(server, name, 0);
    const paths = [left, served].map(({ name }) => pathOf(localAddress(name, 0)));
    rmSync(paths[0], { force: true });
    await leaveSocket(paths[0]);
    const anHourAgo = Date.now() / 1000 - 3600;
    for (const path of paths) utimesSync(dirname(path), anHourAgo, anHourAgo);
    await removeLeftFolders();
    assert.deepEqual(
      [left, served, fresh].map(({ name }) =>
        existsSync(join(tmpdir(), `lockstep-exchange-${name}`)),
      ),
      [false, true, true],
    );
  } finally {
    server.forceShutdown();
    for (const folder of [left, served, fresh]) folder.close();
  }
});

/** Leaves a socket's file without a listener, by giving it another name while there is one. */
async function leaveSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.bound`, resolve));
  renameSync(`${path}.bound`, path);
  await new Promise((resolve) => server.close(resolve));
}
