// The shape that all of a run's objects have in common: who they are, whose they are.

import type { V1ObjectMeta, V1OwnerReference } from '@kubernetes/client-node';
import { labelsOf, objectNames, type ClusterRun, type Component } from '../names.js';

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
