// The object that a run stands and falls with, what says of all others that they are its own, and
// the Lease that its coordinators share.

import type { V1ConfigMap, V1Lease, V1ObjectMeta, V1OwnerReference } from '@kubernetes/client-node';
import { leaseAnnotations } from '../../../shared/kubernetes/lease-place.js';
import { launchParametersSchema, type LaunchParameters } from '../launch-parameters.js';
import { labelsOf, objectNames, rootKeys, type ClusterRun, type Component } from '../names.js';

/** An object as it is sent to the API server. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: V1ObjectMeta & { readonly name: string };
}

/** The root ConfigMap as the server knows it: what owns all the others. */
export interface Owner extends ClusterRun {
  /** Undefined in what is only printed: the server gives it. */
  readonly uid: string | undefined;
}

/** Metadata of one of a run's objects. */
export function metadataOf(
  owner: Owner,
  name: string,
  component?: Component,
): Manifest['metadata'] {
  return {
    name,
    namespace: owner.namespace,
    labels: labelsOf(owner.name, component),
    ...(owner.uid === undefined ? {} : { ownerReferences: [referenceTo(owner.name, owner.uid)] }),
  };
}

function referenceTo(run: string, uid: string): V1OwnerReference {
  const name = objectNames(run).root;
  // The root stays until all others are gone, so a run whose root is there is there.
  return { apiVersion: 'v1', kind: 'ConfigMap', name, uid, blockOwnerDeletion: true };
}

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
