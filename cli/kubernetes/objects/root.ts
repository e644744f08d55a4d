// The object that a run stands and falls with, and the Lease that its coordinators share.

import type { V1ConfigMap, V1Lease } from '@kubernetes/client-node';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames, rootKeys } from '../names.js';
import { metadataOf, type Manifest, type Owner } from './object.js';

/** The root ConfigMap: the spec, and what the run was launched with. It has no owner itself. */
export function rootObject(parameters: LaunchParameters, specText: string): V1ConfigMap & Manifest {
  const { name, namespace } = parameters;
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadataOf({ name, namespace, uid: undefined }, objectNames(name).root),
    data: {
      [rootKeys.spec]: specText,
      [rootKeys.launch]: `${JSON.stringify(parameters, undefined, 2)}\n`,
    },
  };
}

/** The Lease, nobody's yet; made here so that it has an owner and goes with it. */
export function leaseObject(owner: Owner): V1Lease & Manifest {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: metadataOf(owner, objectNames(owner.name).lease),
  };
}
