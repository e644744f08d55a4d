// What an operator is told before a run trains: why pods do not start, that they get too little
// memory, that GPUs would be of no use. In the server's words, and soon.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { restricted } from '../../kubernetes/control-plane.js';
import { podObject, podSpec, scriptContainer } from '../../kubernetes/trivial-pods.js';
import type { CommandResult } from '../../support/lockstep-command.js';
import { untilSeen, bucket, image, s3Secret } from '../cluster.js';
import type { CaseContext } from '../context.js';
import { s3Endpoint } from '../machine/places.js';

const steps = 6;
const namespace = 'starts';
const fullNamespace = 'full';

/** Half a minute, and what two commands need to start on a busy machine. */
const soonMs = 50_000;
const lostMs = 300_000;

/** Launches that come to nothing, and what is said of each within `soonMs`. */
const troubles = [
  {
    ...{ name: 'image', flags: ['--image', 'localhost/absent:1'], within: namespace },
    told: /absent:1/,
  },
  {
    ...{ name: 'secret', flags: ['--s3-secret', 'absent'], within: namespace },
    told: /secret "absent" not found/,
  },
  {
    ...{ name: 'room', flags: ['--memory-per-worker', '900Gi'], within: namespace },
    told: /nodes are available.*Insufficient memory/,
  },
  { ...{ name: 'quota', flags: [], within: fullNamespace }, told: /exceeded quota: none/ },
] as const;

const usual = {
  '--image': image,
  '--s3-secret': s3Secret,
  '--memory-per-worker': '1Gi',
  '--cpus-per-worker': '100m',
  '--s3-endpoint': s3Endpoint,
  '--coordinators': '1',
  '--workers': '1',
};

function launchOf(path: string, name: string, within: string, flags: readonly string[]): string[] {
  const others = Object.entries(usual).filter(([flag]) => !flags.includes(flag));
  const place = ['--namespace', within, '--name', name, '--run', `s3://${bucket}/runs/${name}`];
  return ['launch', '-f', path, ...place, ...others.flat(), ...flags, '--json'];
}

const troublesIn = ({ lines }: CommandResult): string =>
  lines
    .filter(({ kind }) => kind === 'trouble')
    .map(({ reason }) => String(reason))
    .join('\n');

/** Cases of runs that do not start. */
export function startCases({ cluster, files }: CaseContext): void {
  it('a launch says why pods do not start, and ends when memory is too little', async () => {
    await cluster().createNamespace(namespace, restricted);
    await cluster().createNamespace(fullNamespace, restricted);
    const quota = ['create', 'quota', 'none', '--hard=pods=0'];
    await cluster().ask(['-n', fullNamespace, ...quota]);
    const path = await files().path(steps);
    const launch = (name: string, within: string, flags: readonly string[], timeoutMs: number) =>
      cluster().lockstep(launchOf(path, name, within, flags), timeoutMs);

    const refused = await launch('gpu', namespace, ['--gpus-per-worker', '1'], soonMs);
    assert.equal(refused.code, 78, refused.stderr);
    assert.match(refused.stderr, /--gpus-per-worker.*\n?.*engine\.name tensorflow/);

    const doctor = scriptContainer('', {
      ...{ image, command: ['lockstep'], args: ['doctor'] },
      resources: { limits: { memory: '1Gi' } },
    });
    await cluster().ask(
      ['-n', namespace, 'create', '-f', '-'],
      podObject('doctor', podSpec(doctor)),
    );
    const [small, ...said] = await Promise.all([
      launch('small', namespace, ['--memory-per-worker', '64Mi'], lostMs),
      ...troubles.map(({ name, within, flags }) => launch(name, within, flags, soonMs)),
    ]);
    for (const [index, { name, told }] of troubles.entries()) {
      const result = said[index] ?? assert.fail(name);
      assert.match(troublesIn(result), told, `${name}: ${result.stderr}`);
    }
    const resumed = await cluster().lockstep(
      ['resume', `k8s://${namespace}/image`, '--json'],
      soonMs,
    );
    assert.match(troublesIn(resumed), /absent:1/, resumed.stderr);

    // The third pod in a row that ran out of memory is the last.
    assert.equal(small.code, 78, small.stderr);
    const reason = String(small.lines.at(-1)?.['reason']);
    assert.match(reason, /ran out of memory 3 times in a row: it may have 64Mi; --memory-per-w/);
    assert.match(troublesIn(small), /small-worker-0-\w+ ran out of memory: it may have 64Mi/);

    const doctorPath = `/api/v1/namespaces/${namespace}/pods/doctor`;
    const hasEnded = async (): Promise<boolean> =>
      /Succeeded|Failed/.test((await cluster().get<V1Pod>(doctorPath)).status?.phase ?? '');
    await untilSeen(hasEnded, 'doctor has ended', 120_000);
    const findings = await cluster().ask(['-n', namespace, 'logs', 'doctor']);
    assert.match(findings, /memory +1\.0 GiB, which this container may use of \d/);
    // A namespace that goes waits for pods, those for their Jobs, which wait for the next pods.
    const runs = ['delete', 'configmap', '-l', 'app.kubernetes.io/name=lockstep'];
    for (const each of [namespace, fullNamespace]) await cluster().ask(['-n', each, ...runs]);
    await cluster().ask(['delete', 'namespace', namespace, fullNamespace, '--wait=false']);
  });
}
