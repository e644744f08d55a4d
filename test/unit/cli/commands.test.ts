// The list that help is made of says the same as the commands themselves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Argv, CommandModule } from 'yargs';
import { chosenCommand, commands, wordOf } from '../../../cli/commands.js';

test('usage and summary of each entry are those of its module', async () => {
  for (const entry of commands) {
    const modules: CommandModule[] = [];
    const stub = { command: (module: CommandModule) => (modules.push(module), stub) };
    await entry.register(stub as unknown as Argv);
    assert.deepEqual(
      modules.map(({ command, describe }) => [command, describe]),
      [[entry.usage, entry.summary]],
    );
  }
});

test('the first word that is no option chooses the command', () => {
  assert.deepEqual(
    [['--verbose', 'spec', 'demo'], ['spec'], ['nope'], ['--help'], []]
      .map(chosenCommand)
      .map((entry) => (entry === undefined ? undefined : wordOf(entry))),
    ['spec', 'spec', undefined, undefined, undefined],
  );
});

test('the words differ', () => {
  assert.equal(new Set(commands.map(wordOf)).size, commands.length);
});
