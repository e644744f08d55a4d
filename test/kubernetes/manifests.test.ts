// Every folder of manifests builds, and the API server takes all of what it makes: no field that it
// does not know, no value that it refuses, no pod outside the Pod Security profile "restricted".

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { packageFile } from '../../shared/paths.js';
import { skipWithoutControlPlane, startControlPlane, type ControlPlane } from './control-plane.js';
import { createManifestCheck, kustomizations, type ManifestCheck } from './manifest-check.js';
import { jobObject, podSpec, scriptContainer } from './trivial-pods.js';

describe('manifests', { skip: skipWithoutControlPlane() }, () => {
  let plane: ControlPlane;
  let check: ManifestCheck;
  before(async () => {
    plane = await startControlPlane();
    check = await createManifestCheck(plane);
  });
  after(() => plane?.close());

  it('are there to look at', () => {
    assert.ok(kustomizations().includes('deploy/k8s/base'), kustomizations().join(', '));
  });

  for (const folder of kustomizations())
    it(`${folder} is accepted`, async () => {
      const yaml = await plane.ask(['kustomize', packageFile(folder)]);
      assert.deepEqual(await check.validate(yaml), []);
    });

  it('are refused with a field that nobody knows', async () => {
    const job = jobObject('typo', podSpec(scriptContainer('')), { completions: 1 });
    const typo = job.replace('podReplacementPolicy', 'podReplacmentPolicy');
    assert.match(
      (await check.validate(typo)).join('\n'),
      /unknown field "spec.podReplacmentPolicy"/,
    );
    assert.deepEqual(await check.validate(job), []);
  });

  it('are refused with a pod that could gain rights', async () => {
    const container = scriptContainer('', { securityContext: { privileged: true } });
    const problems = await check.validate(
      jobObject('root', podSpec(container), { completions: 1 }),
    );
    assert.match(problems.join('\n'), /would violate PodSecurity "restricted:latest": privileged/);
  });
});
