// Every pod keeps to the Pod Security profile "restricted", and a little more: nothing of its file
// system can be written but /tmp, and only the coordinators have a token of the Kubernetes API.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { packageFile } from '../../../shared/paths.js';
import { containerOf, podOf, readJob, readManifests } from './manifests.js';

/** What the profile allows in a pod's volumes, of what is used here. */
const allowedVolumes = ['configMap', 'emptyDir', 'projected'];

const names = ['lockstep-coordinator', 'lockstep-worker'];

test('there are no other pods', () => {
  const kinds = readManifests().filter(({ spec }) => JSON.stringify(spec)?.includes('containers'));
  assert.deepEqual(
    kinds.map(({ kind, metadata }) => [kind, metadata.name]),
    names.map((name) => ['Job', name]),
  );
});

for (const name of names) {
  const job = readJob(name);
  const pod = podOf(job);
  const { volumes = [], initContainers = [] } = pod;
  const containers = [...initContainers, ...pod.containers];

  test(`${name} runs as nobody in particular, with no rights to gain`, () => {
    assert.deepEqual(pod.securityContext, {
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      fsGroup: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    for (const container of containers)
      assert.deepEqual(
        container.securityContext,
        {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        container.name,
      );
  });

  test(`${name} shares nothing with its node`, () => {
    for (const { name: volume, ...sources } of volumes)
      for (const source of Object.keys(sources))
        assert.ok(allowedVolumes.includes(source), `${volume}: ${source}`);
    const written = JSON.stringify(readManifests());
    for (const key of ['hostNetwork', 'hostPID', 'hostIPC', 'hostPort', 'hostPath', 'procMount'])
      assert.ok(!written.includes(`"${key}"`), key);
    const { volumeMounts = [] } = containerOf(job);
    const mounted = volumeMounts.map((mount) => mount.name);
    assert.deepEqual(mounted.sort(), volumes.map((volume) => volume.name).sort());
    assert.ok(volumeMounts.some(({ mountPath }) => mountPath === '/tmp'));
  });

  test(`${name} has an account of its own, and a token only for the Lease`, () => {
    const tokens = volumes.filter((volume) => 'projected' in volume).map((one) => one.name);
    assert.deepEqual(tokens, name === 'lockstep-coordinator' ? ['token'] : []);
    assert.equal(pod.serviceAccountName, name);
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(pod.restartPolicy, 'Never');
  });

  test(`${name} says what it needs`, () => {
    for (const { resources, name: container } of containers) {
      assert.deepEqual(Object.keys(resources?.requests ?? {}).sort(), ['cpu', 'memory'], container);
      assert.ok(resources?.limits?.['memory'] !== undefined, container);
    }
  });

  test(`${name} runs the image of this version`, () => {
    const text = readFileSync(packageFile('package.json'), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    for (const { image } of containers) assert.equal(image, `lockstep:${version}`);
  });
}
