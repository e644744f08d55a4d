// What each kind of error comes to: lines for a person and an exit code for a script.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandFailed, endingOf, UsageError } from '../../../cli/failure.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { OperatorError } from '../../../shared/problems.js';

test('each kind of error has its exit code and its lines', () => {
  const problem = { key: '--workers', given: 0, allowed: 'from 1 to 4' };
  const cases = [
    [new UsageError('Unknown argument: x'), exitCodes.configuration, 'See: lockstep spec --help'],
    [new OperatorError('bad flags', [problem]), exitCodes.configuration, /- --workers: given 0/],
    [
      new CommandFailed('stopped', exitCodes.stopped, 'Resume it.'),
      exitCodes.stopped,
      'Resume it.',
    ],
    [new Error('boom\nat length'), exitCodes.failed, /--verbose/],
    ['text', exitCodes.failed, /--verbose/],
  ] as const;
  for (const [error, exitCode, expected] of cases) {
    const ending = endingOf(error, false, 'spec');
    assert.equal(ending.exitCode, exitCode);
    assert.match(ending.lines[0] ?? '', /^lockstep: [^\n]/);
    const text = ending.lines.join('\n');
    assert.ok(typeof expected === 'string' ? text.includes(expected) : expected.test(text), text);
  }
});

test('only a verbose ending carries the stack, and no ending a password', () => {
  const error = new Error('nats://me:secret@host is away');
  assert.ok(!endingOf(error, false).lines.join().includes('failure.test'));
  const verbose = endingOf(error, true).lines.join('\n');
  assert.match(verbose, /failure\.test/);
  assert.match(verbose, /nats:\/\/\*\*\*@host is away/);
  assert.ok(!verbose.includes('secret'));
});
