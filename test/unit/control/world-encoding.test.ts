// The orders to enter a world: encoded with a list that is remembered, byte for byte as without.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadSync } from '@grpc/proto-loader';
import {
  fromWire,
  loadControlService,
  toWire,
  rememberMembers,
} from '../../../shared/control/codec.js';
import { coordinatorMessageSchema, type WorldMessage } from '../../../shared/control/messages.js';
import { packageFile } from '../../../shared/paths.js';

const { Session: session } = loadControlService().service;
if (session === undefined) throw new Error('there are no sessions');

function worldOf(workers: number, change: Partial<WorldMessage> = {}): WorldMessage {
  const members = Array.from({ length: workers }, (_, rank) => {
    const lanes = ['10.0.0.1:4001', '[::1]:4002'].slice(0, rank % 3);
    const [incarnation, address] = [1_764_000_000_000, '10.0.0.1:4000'];
    const socket = rank.toString(16).padStart(32, '0');
    const local = rank % 2 === 0 ? { socket } : {};
    return { rank, worker: `w-${rank}`, incarnation, address, lanes, ...local };
  });
  const told = { generation: 2 ** 20 + 1, members, step: 7, until: 300 } as const;
  return { kind: 'world', ...told, source: 'own', donor: '', ...change };
}

test('a message is decoded as it was meant, whoever was told before', () => {
  const first = worldOf(300);
  const told: WorldMessage[] = [
    first,
    { ...first, source: 'peer', donor: '10.0.0.2:4000' },
    { ...first, generation: first.generation + 1 },
    { ...first, step: 8 },
    { ...first, until: 400, source: 'checkpoint' },
    worldOf(1),
    worldOf(0),
    worldOf(4096),
  ];
  for (const message of told) {
    const bytes = session.responseSerialize(toWire(message));
    const wire = session.responseDeserialize(bytes) as Parameters<typeof fromWire>[1];
    assert.deepEqual(fromWire(coordinatorMessageSchema, wire), message);
    assert.ok(bytes.length < 4 * 2 ** 20, 'longer than a receiver takes');
  }
});

/** The encoding without a memory. */
function plainSerializer(): typeof session.responseSerialize {
  const control = loadSync(packageFile('proto/lockstep/v1/control.proto'))['lockstep.v1.Control'];
  const methods = control as Readonly<Record<string, typeof session>> | undefined;
  if (methods?.Session === undefined) throw new Error('there are no sessions');
  return methods.Session.responseSerialize;
}

test('a list is encoded once for all who are told it, to the bytes of the plain encoding', () => {
  const plain = plainSerializer();
  const encoded: unknown[] = [];
  const serialize = rememberMembers((message) => {
    encoded.push((message.world as { members?: unknown }).members);
    return plain(message);
  });
  const { members } = worldOf(10);
  for (let rank = 0; rank < 5; rank++) {
    const wire = toWire(worldOf(10, { members, source: 'peer', donor: `10.0.0.${rank}:4000` }));
    assert.deepEqual(serialize(wire), plain(wire));
  }
  assert.equal(encoded.filter((members) => members !== undefined).length, 1);
});

test('other messages pass as they are', () => {
  const connect = { kind: 'connect', generation: 5 } as const;
  const wire = session.responseDeserialize(session.responseSerialize(toWire(connect)));
  assert.deepEqual((wire as { connect: object }).connect, { generation: 5 });
});
