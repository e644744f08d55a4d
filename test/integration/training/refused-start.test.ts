// Mistakes on the command line are told by their flag, before anything waits for them.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { testFolder } from '../../support/folder.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { packFaces } from '../../support/tiny-dataset.js';
import { printSpec, tinyRun } from '../../support/tiny-run.js';

const folder = testFolder();

before(async () => {
  const url = `file://${folder}/dataset`;
  await packFaces(url, folder);
  await writeFile(join(folder, 'six.yaml'), printSpec(tinyRun(url)));
});

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

/** An address that something else listens at. */
async function takeAddress(): Promise<{ address: string; free(): void }> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
  return { address, free: () => void taken.close() };
}

test('an address that is taken is refused by its name, and no run is opened', async () => {
  const { address, free } = await takeAddress();
  const args = ['coordinator', '-f', 'six.yaml', '--run', 'taken', '--listen', address];
  const { code, stderr } = await runLockstep(args, folder);
  free();
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, new RegExp(`--listen: given "${address}"; allowed: .*free`));
  assert.equal(existsSync(join(folder, 'runs', 'taken')), false);
});

test('an address that is taken is refused to a worker, too', async () => {
  const { address, free } = await takeAddress();
  const args = ['worker', '--coordinator', '127.0.0.1:1', '--id', 'w', '--listen', address];
  const { code, stderr } = await runLockstep(args, folder);
  free();
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, new RegExp(`--listen: given "${address}"; allowed: .*free`));
});

for (const [args, words] of [
  [['--standby'], /--nats or --lease: missing; allowed: a nats:\/\/ or k8s:\/\/ url/],
  [['--lease', 'k8s://a/b'], /--lease: given "k8s:\/\/a\/b"; allowed: together with --standby/],
  [['--standby', '--lease', 'k8s://a'], /--lease: given "k8s:\/\/a"; allowed: k8s:\/\/NAMESPACE/],
  [['--standby', '--lease', 'k8s://a/b'], /KUBECONFIG: missing; allowed: a kubeconfig there or/],
  [['--if-exists', 'overwrite'], /if-exists/],
] as const)
  test(`${args.join(' ')} is refused where that can't be`, async () => {
    const environment = { ...nowhere, HOME: folder };
    const { code, stderr } = await runLockstep([...serve, 'odd', ...args], folder, environment);
    assert.equal(code, exitCodes.configuration);
    assert.match(stderr, words);
  });
