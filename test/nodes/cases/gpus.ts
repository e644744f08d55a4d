// GPUs as a cluster counts them. They are numbers here: who gets one is decided by the real
// scheduler.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { idle, podObject, podSpec, scriptContainer } from '../../kubernetes/trivial-pods.js';
import { image } from '../cluster.js';
import type { CaseContext } from '../context.js';
import { launchedRun, namespace } from '../launched-run.js';

/** A pod that has so many of a node's four. */
function podWith(name: string, gpus: number): string {
  const resources = { limits: { 'nvidia.com/gpu': `${gpus}` } };
  return podObject(name, podSpec(scriptContainer(idle, { image, resources })));
}

/** Cases of the resource nvidia.com/gpu. */
export function gpuCases({ cluster, files }: CaseContext): void {
  it('workers wait until there are GPUs for them, and train then', async () => {
    const ask = (...args: string[]): Promise<string> => cluster().ask(['-n', namespace, ...args]);
    for (const name of ['first', 'second'])
      await cluster().ask(['-n', namespace, 'create', '-f', '-'], podWith(name, 4));
    await ask('wait', '--for=condition=Ready', 'pod/first', 'pod/second', '--timeout=55s');
    const nodes = await ask(
      'get',
      'pod',
      'first',
      'second',
      '-o',
      'jsonpath={.items[*].spec.nodeName}',
    );
    assert.deepEqual(nodes.split(' ').sort(), ['node-a', 'node-b']);

    const steps = 6;
    const run = launchedRun(cluster(), 'gpus', await files().path(steps), 2);
    await run.launch(['--gpus-per-worker', '1', '--provider', 'cpu', '--detach']);
    const workers = [
      'pod',
      '-l',
      'app.kubernetes.io/instance=gpus,app.kubernetes.io/component=worker',
    ];
    await ask('wait', '--for=condition=PodScheduled=False', ...workers, '--timeout=55s');
    await ask('delete', 'pod', 'first', 'second');
    assert.deepEqual(await run.ends(), await files().trainedHere(steps));
    await run.command('cancel', run.url);
  });
}
