// Mistakes on the command line are told by their flag, before anything waits for them.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { planRun } from '../../../coordinator/edge/run-plan.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { createRunRecord } from '../../../shared/spec/record.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { openStore } from '../../../shared/store/open-store.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { listen } from '../../support/servers.js';
import { runIn, testFolder, writeRuns } from '../../support/tiny-run.js';

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

/** Goes on with a run that has recorded the one exchange, by a spec with the other. */
async function goOn(recorded: RunSpec['exchange'], given: RunSpec['exchange']): Promise<void> {
  const run = `choice-${String(choices++)}`;
  const store = openStore(`file://${folder}/runs/${run}`);
  const specOf = (exchange: RunSpec['exchange']) => ({ ...runIn(folder), exchange });
  const createdAt = new Date(0).toISOString();
  await createRunRecord(store, {
    ...{ format: 'lockstep-run/1', run, createdAt },
    spec: specOf(recorded),
  });
  await planRun({
    ...{ run, store, storeOptions: {}, spec: specOf(given), ifExists: 'resume' },
    ...{ worldSize: 1, until: undefined, nowMs: 0 },
  });
  await store.close();
}
let choices = 0;

test('a run goes on by every spec that chooses the same exchange, and by no other', async () => {
  const summed = { factored: 'never', precision: 'float32' } as const;
  const factored = { factored: 'auto', precision: 'float32' } as const;
  // A record without the key is from before there were factors.
  for (const given of [undefined, {}, summed]) await goOn(undefined, given);
  for (const given of [undefined, {}, { precision: 'float32' } as const, factored])
    await goOn({ factored: 'auto' }, given);
  await goOn(factored, undefined);
  await assert.rejects(goOn(undefined, factored), /exchange\.factored: given "?auto/);
  await assert.rejects(goOn(factored, summed), /exchange\.factored: given "?never/);
  const rounded = { factored: 'auto', precision: 'bfloat16' } as const;
  await assert.rejects(goOn(factored, rounded), /exchange\.precision: given "?bfloat16/);
});
