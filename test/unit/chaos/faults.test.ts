// The list of faults that the operator gives, and what of it a run allows.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { faultKinds, parseFaults, possibleFaults } from '../../../cli/chaos/faults.js';
import { OperatorError } from '../../../shared/problems.js';
import { statusOf, workerOf } from './run-status.js';

test('names and weights; what comes later counts', () => {
  const cases: [string, [string, number][]][] = [
    ['kill', [['kill', 1]]],
    [
      'freeze:2, kill:0.5',
      [
        ['kill', 0.5],
        ['freeze', 2],
      ],
    ],
    ['all,kill:3', faultKinds.map((kind) => [kind, kind === 'kill' ? 3 : 1])],
    ['kill:3,all:2', faultKinds.map((kind) => [kind, 2])],
  ];
  for (const [list, expected] of cases)
    assert.deepEqual(
      parseFaults(list).map(({ kind, weight }) => [kind, weight]),
      expected,
      list,
    );
});

test('all that is wrong is said, with what is allowed', () => {
  const wrong = (list: string): string => {
    try {
      parseFaults(list);
    } catch (error) {
      assert.ok(error instanceof OperatorError);
      return error.message;
    }
    throw new Error(`${list} was taken`);
  };
  assert.match(wrong('kil'), /--faults: given "kil"; allowed: kill, freeze, .*half-open.*, all/);
  assert.match(wrong(''), /--faults: given "";/);
  for (const weight of ['0', '-1', 'x', '', 'Infinity'])
    assert.match(wrong(`kill:${weight}`), /--faults kill: given .*; allowed: a weight above 0/);
  assert.equal(wrong('kil,freeze:0').split('\n').length, 3);
});

test('without workers that obey, what they would have to obey is left out or refused', () => {
  const deaf = statusOf({ workers: [workerOf('a', 0, { allowsFaults: false })] });
  const { faults, notes } = possibleFaults(parseFaults('kill,flip,mute'), deaf, 'here');
  assert.deepEqual(
    faults.map(({ kind }) => kind),
    ['kill'],
  );
  assert.match(notes.join(), /mute, flip; .*--allow-faults/);
  assert.throws(() => possibleFaults(parseFaults('flip'), deaf, 'here'), /--allow-faults/);
  assert.deepEqual(possibleFaults(parseFaults('all'), statusOf(), 'here').notes, []);
});

test('signals are refused for a run of another machine, requests are not', () => {
  const wanted = parseFaults('kill,drain,scale');
  assert.throws(
    () => possibleFaults(wanted, statusOf(), 'elsewhere'),
    /on another machine\n.*given "kill, drain"; allowed: mute, half-open, flip, scale.*are on here/,
  );
  assert.equal(possibleFaults(parseFaults('scale,mute'), statusOf(), 'elsewhere').faults.length, 2);
});
