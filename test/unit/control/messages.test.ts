// What comes off the wire before any decision sees it: lengths are looked at before it is parsed,
// texts can be shown, and a number that training can give is taken, whatever it is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromWire, loadControlService, toWire } from '../../../shared/control/codec.js';
import {
  maxLanes,
  workerMessageSchema,
  type WorkerMessage,
} from '../../../shared/control/messages.js';

const { Session: session } = loadControlService().service;
if (session === undefined) throw new Error('there are no sessions');

/** A message as the coordinator gets it, through the bytes of the wire. */
const received = (message: WorkerMessage): WorkerMessage =>
  fromWire(
    workerMessageSchema,
    session.requestDeserialize(session.requestSerialize(toWire(message))) as never,
  );

const report = (value: number): WorkerMessage => ({
  ...{ kind: 'stepReport', step: 1, phase: 'p', metrics: [{ name: 'loss', value }] },
  ...{ dataS: 0, computeS: 0, exchangeS: 0, updateS: 0, isSkipped: false },
});

test('a loss may be infinite or no number: its worker is not refused for it', () => {
  for (const value of [NaN, Infinity, -Infinity, -0.5, 1e300])
    assert.deepEqual(received(report(value)), report(value));
});

test('texts lose what controls a terminal or turns its direction', () => {
  const nasty = 'a\u001b[31mred\u0007\r\n  - b\u202e\u2028c\u0000d\u009b';
  const failure = { kind: 'failure', reason: nasty, exitCode: 1, sample: '' } as const;
  assert.deepEqual(received(failure), { ...failure, reason: 'a [31mred - b c d ' });
  const named = { ...report(1), phase: '\u001b]0;title\u0007' } as WorkerMessage;
  assert.deepEqual(received(named), { ...report(1), phase: ' ]0;title ' });
});

test('an evaluation has the distance of descriptors only where the worker took it', () => {
  const plain = {
    kind: 'evaluation',
    ...{ step: 1, psnr: 26, ssim: 0.8, bicubicPsnr: 25, bicubicSsim: 0.7 },
    ...{ faces: 2, sampleKey: 'samples/a.png', seconds: 1 },
  } as const;
  assert.deepEqual(received(plain), plain);
  const whole: WorkerMessage = { ...plain, identity: 0, bicubicIdentity: 0.125 };
  assert.deepEqual(received(whole), whole);
});

const part = (file: string): WorkerMessage => ({
  ...{ kind: 'partStored', step: 1, name: 'g', file, bytes: 1, sha256: 'a'.repeat(64) },
  stateDigest: '0'.repeat(16),
});

test('a part of a checkpoint lies right in its folder', () => {
  received(part('g.safetensors'));
  for (const file of ['../g.safetensors', 'a/g.safetensors', 'manifest.json', '', '.safetensors'])
    assert.throws(() => received(part(file)), /a bad partStored message: file/, file);
});

test('what is longer than any worker would send is not parsed', () => {
  const parse = session.requestDeserialize;
  const ofLength = (field: number, bytes: number): Buffer => {
    const message = Buffer.alloc(bytes, 0x0a);
    message[0] = (field << 3) | 2;
    return message;
  };
  for (const [field, kib] of [
    [1, 2560],
    [2, 512],
    [6, 64],
    [8, 64],
  ] as const)
    assert.throws(
      () => parse(ofLength(field, 1024 * kib + 1)),
      new RegExp(`a message of ${1024 * kib + 1} bytes, where ${kib} KiB are the most`),
    );
});

test('the largest hello and status of a world of 4096 are within the lengths', () => {
  const id = (i: number): string => `w-${i}-`.padEnd(63, 'x');
  const members = Array.from({ length: 4096 }, (_, rank) => {
    const address = `${String(rank).padStart(8, 'h')}.workers.a-long-namespace.svc:7401`;
    const lanes = Array.from({ length: maxLanes - 1 }, (_, i) =>
      address.replace('7401', `740${i}`),
    );
    return { rank, worker: id(rank), incarnation: 1_764_000_000_000, address, lanes };
  });
  const suspicions = members
    .slice(0, 1024)
    .map(({ worker }) => ({ worker, reason: 'r'.repeat(200) }));
  const status = {
    ...{ sequence: 1, generation: 1, stage: 'training' as const, step: 1, hasState: true },
    ...{ activity: '', isLeaving: false, suspicions, trouble: '', obstacle: '', fingerprint: '' },
    pace: {
      dataS: 0,
      computeS: 0,
      exchangeS: 0,
      updateS: 0,
      waitedFor: '',
      waitedS: 0,
      sentBytes: 0,
      receivedBytes: 0,
    },
  };
  received({ kind: 'status', ...status });
  received({
    ...{ kind: 'hello', protocol: 5, worker: id(0), incarnation: 1, address: 'h:1', pid: 1 },
    ...{ host: 'h', term: 1, run: 'r', recordSha256: 'a'.repeat(64), allowsFaults: false },
    status: { ...status, suspicions: [] },
    world: { generation: 1, members, step: 1, until: 9, source: 'own', donor: '' },
  });
});
