// The object that a run stands and falls with, and the Lease that its coordinators share.

import type { V1ConfigMap, V1Lease } from '@kubernetes/client-node';
import { leaseAnnotations } from '../../../shared/kubernetes/lease-place.js';
import { launchParametersSchema, type LaunchParameters } from '../launch-parameters.js';
import { objectNames, rootKeys } from '../names.js';
import { metadataOf, type Manifest, type Owner } from './object.js';

/** launch.json: the parameters in the order of the schema. */
export function launchText(parameters: LaunchParameters): string {
  return `${JSON.stringify(launchParametersSchema.parse(parameters), undefined, 2)}\n`;
}

/** The root ConfigMap: the spec, and what the run was launched with. It has no owner itself. */
export function rootObject(parameters: LaunchParameters, specText: string): V1ConfigMap & Manifest {
  const { name, namespace } = parameters;
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadataOf({ name, namespace, uid: undefined }, objectNames(name).root),
    data: {
      [rootKeys.spec]: specText,
      [rootKeys.launch]: launchText(parameters),
    },
  };
}

/**
 * The Lease, nobody's yet; made here so that it has an owner and goes with it. It says how many
 * workers the leader is to have, which `lockstep scale` changes while the run goes on.
 */
export function leaseObject(owner: Owner, workers: number): V1Lease & Manifest {
  const metadata = metadataOf(owner, objectNames(owner.name).lease);
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { ...metadata, annotations: { [leaseAnnotations.workers]: String(workers) } },
  };
}
