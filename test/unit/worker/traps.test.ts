// Traps spring once, at their activity, at their step or later, and at no other message.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Trap } from '../../../shared/control/messages.js';
import type { ToCompute, ToNetwork } from '../../../worker/network/ports.js';
import { createTraps, type Traps } from '../../../worker/network/traps.js';

function create(...given: readonly Trap[]): { traps: Traps; sprung: string[] } {
  const sprung: string[] = [];
  const traps = createTraps(({ signal, activity }, step) =>
    sprung.push(`${signal} ${activity} ${step}`),
  );
  for (const trap of given) traps.set(trap);
  return { traps, sprung };
}

const kill = (activity: Trap['activity'], step: number): Trap => {
  return { signal: 'SIGKILL', activity, step };
};

test('a trap springs once, at its activity, at its step or later', () => {
  const { traps, sprung } = create(kill('exchange', 5));
  for (const step of [4, 6, 7])
    for (const activity of ['data', 'compute', 'exchange', 'update'])
      traps.onMessage({ kind: 'activity', step, activity });
  assert.deepEqual(sprung, ['SIGKILL exchange 6']);
});

test('two traps at one moment spring one after the other', () => {
  const { traps, sprung } = create(kill('data', 0), { ...kill('data', 0), signal: 'SIGSTOP' });
  traps.reach('data', 1);
  traps.reach('data', 2);
  traps.reach('data', 3);
  assert.deepEqual(sprung, ['SIGKILL data 1', 'SIGSTOP data 2']);
});

test('what is between two worlds, and the storing of checkpoints, are moments too', () => {
  const header = { step: 3, bytes: 8, digest: '', updates: {}, skippedInARow: 0 };
  const part = { name: 'g', file: 'g', bytes: 8, sha256: '', stateDigest: '' };
  const messages: [Trap['activity'], ToCompute | ToNetwork][] = [
    [
      'enter',
      { kind: 'enter', generation: 1, rank: 0, worldSize: 1, step: 3, source: 'own', donor: '' },
    ],
    ['take', { kind: 'stateHeader', header }],
    ['serve', { kind: 'servedHeader', request: 1, header }],
    ['save', { kind: 'tell', message: { kind: 'partStored', step: 3, ...part } }],
    ['finish', { kind: 'finish', generation: 1, step: 3, share: 0, shares: 1 }],
  ];
  for (const [activity, wanted] of messages) {
    const { traps, sprung } = create(kill(activity, 3));
    for (const [other, message] of messages) if (other !== activity) traps.onMessage(message);
    assert.deepEqual(sprung, []);
    traps.onMessage(wanted);
    assert.deepEqual(sprung, [`SIGKILL ${activity} 3`]);
  }
});
