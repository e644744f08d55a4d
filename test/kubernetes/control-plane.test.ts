// The control plane that the other tests of this folder stand on comes up, decides as a cluster
// does, and goes away.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { skipWithoutControlPlane, startControlPlane, type ControlPlane } from './control-plane.js';

describe('a control plane', { skip: skipWithoutControlPlane() }, () => {
  let plane: ControlPlane;
  before(async () => {
    plane = await startControlPlane();
  });
  after(() => plane.close());

  it('is of the version that the manifests are made for', async () => {
    const text = await plane.ask(['version', '-o', 'json']);
    const { clientVersion, serverVersion } = JSON.parse(text) as Record<
      string,
      { gitVersion: string }
    >;
    assert.deepEqual(
      [clientVersion?.gitVersion, serverVersion?.gitVersion],
      ['v1.36.3', 'v1.36.3'],
    );
  });

  it('lets nobody do what no role allows', async () => {
    await plane.createNamespace('rights');
    const token = (await plane.ask(['create', 'token', 'default', '-n', 'rights'])).trim();
    const path = `${plane.folder}/nobody.kubeconfig`;
    await plane.writeKubeconfig(path, token, 'rights');
    const { code, stderr } = await plane.kubectl(['get', 'pods'], { env: { KUBECONFIG: path } });
    assert.equal(code, 1);
    assert.match(stderr, /Forbidden.*system:serviceaccount:rights:default/);
  });
});
