// Strangers at the doors of a run that speaks TLS: in clear, with TLS and no certificate, and with
// one of another authority. They get no further than the handshake, and the run goes on.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { attacks, type Attack } from '../../support/strangers/attacks.js';
import { startBesieged, type BesiegedRun } from '../../support/strangers/besieged-run.js';
import { attackAll, saysLittle, staysWell } from '../../support/strangers/siege.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';

/** The id that a besieged run has. */
const runId = 'run';
const holders = [
  { role: 'coordinator' },
  { role: 'operator' },
  { role: 'worker', worker: 'w-0' },
  { role: 'worker', worker: 'w-1' },
] as const;

let run: BesiegedRun;
let foreign: ConnectionOptions;

before(async () => {
  run = await startBesieged((await createTlsFolder(runId, holders)).folder);
  const other = await createTlsFolder(runId, holders);
  const [cert, key] = ['crt', 'key'].map((ending) =>
    readFileSync(join(other.folder, `worker-w-1.${ending}`)),
  );
  foreign = { cert, key, rejectUnauthorized: false };
});
after(() => run.close());

function named(name: string): Attack {
  return attacks.find((one) => one.name === name) ?? assert.fail(`no attack is named ${name}`);
}

describe('strangers at the doors of a run that speaks TLS', () => {
  for (const name of ['random bytes', 'HTTP/1', 'idle connections'])
    it(`${name}, in clear`, async (t) => {
      await attackAll(run, named(name), t);
      await staysWell(run, t);
    });

  for (const name of ['a flood of PING', 'rapid reset'])
    it(`${name}, without a certificate`, async (t) => {
      await attackAll(run, named(name), t, { rejectUnauthorized: false });
      await staysWell(run, t);
    });

  for (const name of ['a flood of SETTINGS', 'a message over the limit'])
    it(`${name}, with a certificate of another authority`, async (t) => {
      await attackAll(run, { ...named(name), isEnded: true }, t, foreign);
      await staysWell(run, t);
    });

  it('answers that are not read, with a certificate of another authority', async (t) => {
    // Who does not read does not see either that its connection was ended.
    await attackAll(run, named('answers that are not read'), t, foreign);
    await staysWell(run, t);
  });

  it('the logs say in few lines who was turned away, and why', (t) => {
    const said = saysLittle(run, t).join('\n');
    for (const reason of [
      ...['it does not speak TLS', 'it shows no certificate', 'not of an authority in ca.crt'],
      'it said nothing for',
    ])
      assert.ok(said.includes(reason), `no log has "${reason}"`);
    assert.match(said, /"address":"127\.0\.0\.1"/);
  });

  it('the run ends with the bytes of one that nobody disturbed', () => run.endsWithItsBytes());
});
