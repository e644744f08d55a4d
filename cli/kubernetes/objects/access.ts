// What a run's pods may do in the cluster: coordinators keep their own Lease and see how pods have
// ended, workers nothing.

import type { V1Role, V1RoleBinding, V1ServiceAccount } from '@kubernetes/client-node';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames, type Component } from '../names.js';
import { metadataOf, type Manifest, type Owner } from './root.js';

/** ServiceAccounts (unless the cluster's owner gives one), and the coordinators' Role. */
export function accessObjects(owner: Owner, parameters: LaunchParameters): Manifest[] {
  const { coordinator } = objectNames(owner.name);
  const { serviceAccount, serviceAccountRole: role } = parameters;
  const own = serviceAccount === undefined;
  return [
    ...(own ? [account(owner, 'coordinator', role), account(owner, 'worker', role)] : []),
    leaseRole(owner),
    roleBinding(owner, serviceAccount ?? coordinator),
  ];
}

/** Pods say themselves whether they want a token. The role is read by AWS's webhook. */
function account(
  owner: Owner,
  component: Component,
  role: string | undefined,
): V1ServiceAccount & Manifest {
  const metadata = metadataOf(owner, objectNames(owner.name)[component], component);
  const annotations = role === undefined ? undefined : { 'eks.amazonaws.com/role-arn': role };
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: annotations === undefined ? metadata : { ...metadata, annotations },
    automountServiceAccountToken: false,
  };
}

function leaseRole(owner: Owner): V1Role & Manifest {
  const { coordinator, lease } = objectNames(owner.name);
  const leases = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] };
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: metadataOf(owner, coordinator, 'coordinator'),
    // A name can't restrict `create`: there is none yet.
    rules: [
      { ...leases, resourceNames: [lease], verbs: ['get', 'update', 'patch'] },
      { ...leases, verbs: ['create'] },
      // To see which of its workers' pods ran out of memory: nobody else can tell.
      { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
    ],
  };
}

function roleBinding(owner: Owner, account: string): V1RoleBinding & Manifest {
  const { coordinator } = objectNames(owner.name);
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: metadataOf(owner, coordinator, 'coordinator'),
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: coordinator },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace: owner.namespace }],
  };
}
