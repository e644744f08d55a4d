// The objects of a launched run on a real API server: each is accepted by strict validation and by
// Pod Security at "restricted", somebody with only the launcher's rights can make and remove them
// all, and the accounts of the pods may do what they need and nothing of what they must not.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AuthorizationV1Api } from '@kubernetes/client-node';
import { packageFile } from '../../shared/paths.js';
import { runLockstep } from '../support/lockstep-command.js';
import { accessTable, launcherRules, type AccessCase } from './access-table.js';
import { runProgram } from './children.js';
import {
  restricted,
  skipWithoutControlPlane,
  startControlPlane,
  type ControlPlane,
} from './control-plane.js';
import { createManifestCheck, type ManifestCheck } from './manifest-check.js';

const namespace = 'training';
const launch = [
  ...['launch', '--preset', 'demo', '--set', 'dataset.url=s3://bucket/faces'],
  ...['--run', 's3://bucket/runs/faces', '--namespace', namespace, '--image', 'lockstep:1'],
];

describe('the objects of a launched run', { skip: skipWithoutControlPlane() }, () => {
  let plane: ControlPlane;
  let check: ManifestCheck;
  let folder: string;
  let kubeconfig: string;
  const lockstep = (...args: string[]) => runLockstep(args, folder, { KUBECONFIG: kubeconfig });
  const kubectl = (args: string, input?: string): Promise<string> =>
    plane.ask(['-n', namespace, ...args.split(' ')], input);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lockstep-objects-'));
    plane = await startControlPlane();
    await plane.createNamespace(namespace, restricted);
    await plane.createNamespace('elsewhere');
    check = await createManifestCheck(plane);
    await kubectl('create serviceaccount launcher');
    const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' };
    await kubectl(
      'apply -f -',
      JSON.stringify({ ...role, metadata: { name: 'launcher' }, rules: launcherRules() }),
    );
    const binding = `--role=launcher --serviceaccount=${namespace}:launcher`;
    await kubectl(`create rolebinding launcher ${binding}`);
    kubeconfig = join(folder, 'launcher.kubeconfig');
    const token = (await kubectl('create token launcher')).trim();
    await plane.writeKubeconfig(kubeconfig, token, namespace);
  });
  after(async () => {
    await plane?.close();
    await rm(folder, { recursive: true });
  });

  const variants: Readonly<Record<string, readonly string[]>> = {
    'as it comes': [],
    'with all that can be given': [
      ...['--workers', '4', '--gpus-per-worker', '1', '--provider', 'cuda'],
      ...['--s3-secret', 's3', '--queue', 'research', '--private-endpoints', '10.0.0.0/16'],
      ...['--s3-endpoint', 'http://minio.storage:9000', '--nats', 'nats://nats.events:4222'],
    ],
    'with an account of the owner': ['--service-account', 'mine'],
  };
  for (const [what, options] of Object.entries(variants))
    it(`are accepted: ${what}`, async () => {
      const args = [packageFile('bin/lockstep.js'), ...launch, ...options, '--dry-run'];
      const { code, stderr, stdout } = await runProgram(process.execPath, args);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /kind: Job/);
      assert.deepEqual(await check.validate(stdout), []);
    });

  it('can be made, seen and removed with the rights of a launcher', async () => {
    const launched = await lockstep(...launch, '--detach');
    assert.equal(launched.code, 0, launched.stderr);
    const again = await lockstep(...launch, '--detach');
    assert.equal(again.code, 0, again.stderr);
    const seen = await lockstep('status', `k8s://${namespace}/faces`, '--json');
    assert.equal(seen.code, 0, seen.stderr);
  });

  it('give their accounts what they need, and no more', async () => {
    const api = plane.config().makeApiClient(AuthorizationV1Api);
    const names = {
      coordinator: 'faces-coordinator',
      worker: 'faces-worker',
      launcher: 'launcher',
    };
    const isAllowed = async ({ account, elsewhere, ...question }: AccessCase) => {
      const { verb, group, resource, subresource, name } = question;
      const attributes = {
        verb,
        group,
        resource,
        ...(name && { name }),
        ...(subresource && { subresource }),
      };
      const user = `system:serviceaccount:${namespace}:${names[account]}`;
      const groups = ['system:serviceaccounts', 'system:authenticated'];
      const resourceAttributes = { ...attributes, namespace: elsewhere ? 'elsewhere' : namespace };
      const answer = await api.createSubjectAccessReview({
        body: { spec: { user, groups, resourceAttributes } },
      });
      return answer.status?.allowed === true;
    };
    const wrong: AccessCase[] = [];
    const table = accessTable('faces');
    assert.ok(table.some((one) => one.isAllowed) && table.some((one) => !one.isAllowed));
    for (const one of table) if ((await isAllowed(one)) !== one.isAllowed) wrong.push(one);
    assert.deepEqual(wrong, []);
  });

  it('leave nothing behind', async () => {
    const { code, stderr } = await lockstep('cancel', `k8s://${namespace}/faces`);
    assert.equal(code, 0, stderr);
    const kinds =
      'configmap,secret,job,pod,service,lease,serviceaccount,role,rolebinding,networkpolicy,pdb';
    assert.equal(await kubectl(`get ${kinds} -l app.kubernetes.io/instance=faces`), '');
  });
});
