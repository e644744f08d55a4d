// Mistakes on the command line are told by their flag, before anything waits for them.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { listen } from '../../support/servers.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();

before(() => writeRuns(folder, { six: {} }));

const serve = ['coordinator', '-f', 'six.yaml', '--listen', '127.0.0.1:0', '--run'];

for (const [flag, value] of [
  ['workers', '0'],
  ['workers', '1.5'],
  ['workers', 'abc'],
  ['stop-after', '2.5'],
  ['stop-after', 'abc'],
])
  test(`--${flag}=${value} is refused`, async () => {
    const { code, stderr } = await runLockstep([...serve, 'odd', `--${flag}=${value}`], folder);
    assert.equal(code, exitCodes.configuration);
    assert.match(stderr, new RegExp(`--${flag}: given .*; allowed: `));
  });

/** An environment without a cluster and without NATS. */
const nowhere = {
  ...{ KUBECONFIG: undefined, KUBERNETES_SERVICE_HOST: undefined },
  LOCKSTEP_NATS_URL: undefined,
};

for (const [who, args] of [
  ['a coordinator', ['coordinator', '-f', 'six.yaml', '--run', 'taken']],
  ['a worker', ['worker', '--coordinator', '127.0.0.1:1', '--id', 'w']],
] as const)
  test(`an address that is taken is refused to ${who} by its name, and no run is opened`, async (t) => {
    const taken = createServer();
    const address = `127.0.0.1:${await listen(taken)}`;
    t.after(() => taken.close());
    const { code, stderr } = await runLockstep([...args, '--listen', address], folder);
    assert.equal(code, exitCodes.configuration);
    assert.match(stderr, new RegExp(`--listen: given "${address}"; allowed: .*free`));
    assert.equal(existsSync(join(folder, 'runs', 'taken')), false);
  });

for (const [args, words] of [
  [['--standby'], /--nats or --lease: missing; allowed: a nats:\/\/ or k8s:\/\/ url/],
  [['--lease', 'k8s://a/b'], /--lease: given "k8s:\/\/a\/b"; allowed: together with --standby/],
  [['--standby', '--lease', 'k8s://a'], /--lease: given "k8s:\/\/a"; allowed: k8s:\/\/NAMESPACE/],
  [
    ['--standby', '--lease', 'k8s://a/b'],
    /KUBECONFIG: missing; allowed: a kubeconfig in .*, or a pod/,
  ],
  [['--if-exists', 'overwrite'], /if-exists/],
] as const)
  test(`${args.join(' ')} is refused where that can't be`, async () => {
    const environment = { ...nowhere, HOME: folder };
    const { code, stderr } = await runLockstep([...serve, 'odd', ...args], folder, environment);
    assert.equal(code, exitCodes.configuration);
    assert.match(stderr, words);
  });

for (const args of [['train'], ['coordinator', '--listen', '127.0.0.1:0']])
  test(`${args[0]} opens no run when a file of the login to NATS is none`, async () => {
    const environment = { LOCKSTEP_NATS_CREDS: 'six.yaml', LOCKSTEP_NATS_CA: 'gone.pem' };
    const more = ['-f', 'six.yaml', '--run', 'secret', '--nats', 'nats://127.0.0.1:1'];
    const { code, stderr } = await runLockstep([...args, ...more], folder, environment);
    assert.equal(code, exitCodes.configuration);
    assert.match(stderr, /LOCKSTEP_NATS_CREDS: given "six\.yaml"; allowed: the path of a \.creds/);
    assert.match(stderr, /LOCKSTEP_NATS_CA: given "gone\.pem"; .*ENOENT/);
    assert.equal(existsSync(join(folder, 'runs', 'secret')), false);
  });
