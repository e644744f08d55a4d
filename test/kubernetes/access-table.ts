// Who may do what in the namespace of a run, as questions for a real API server: the accounts of
// its pods, and a person (or a pipeline) who launches it.

import type { V1PolicyRule } from '@kubernetes/client-node';
import { objectNames } from '../../cli/kubernetes/names.js';

/** One question to the API server, and the answer that is right. */
export interface AccessCase {
  readonly account: 'coordinator' | 'worker' | 'launcher';
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Undefined: any. */
  readonly name?: string;
  /** In a namespace other than the run's. */
  readonly elsewhere?: boolean;
  readonly isAllowed: boolean;
}

type Row = readonly [verbs: string, group: string, resource: string, name?: string];

/** What a person (or a pipeline) who launches needs, in the namespace of the run. */
const launcherRows: readonly Row[] = [
  ['get list create patch delete', '', 'configmaps'],
  // Only where the API server checks who may block a deletion.
  ['update', '', 'configmaps/finalizers'],
  // The certificates of a run's pods.
  ['create', '', 'secrets'],
  ['get create patch delete', '', 'services'],
  ['get create patch delete', '', 'serviceaccounts'],
  ['get list watch', '', 'pods'],
  ['get', '', 'pods/log'],
  ['list', '', 'events'],
  ['get list watch create patch delete', 'batch', 'jobs'],
  // Update: nobody can give the coordinators a right that they have not got themselves.
  ['get list watch create update patch delete', 'coordination.k8s.io', 'leases'],
  ['get create patch delete', 'rbac.authorization.k8s.io', 'roles'],
  ['get create patch delete', 'rbac.authorization.k8s.io', 'rolebindings'],
  ['get create patch delete', 'networking.k8s.io', 'networkpolicies'],
  ['get create patch delete', 'policy', 'poddisruptionbudgets'],
];

const forbiddenToPods: readonly Row[] = [
  ['get list', '', 'secrets'],
  ['get list patch', '', 'configmaps'],
  ['get watch create delete', '', 'pods'],
  ['create', '', 'pods/exec'],
  ['get patch delete', 'batch', 'jobs'],
  ['delete list watch', 'coordination.k8s.io', 'leases'],
  ['create patch', 'rbac.authorization.k8s.io', 'roles'],
  ['create patch', 'rbac.authorization.k8s.io', 'rolebindings'],
];

/** What each account of the run `name` may and must not do. */
export function accessTable(name: string): AccessCase[] {
  const { lease } = objectNames(name);
  const group = 'coordination.k8s.io';
  const own: Row = ['get update patch', group, 'leases', lease];
  return [
    ...cases('coordinator', [own, ['create', group, 'leases'], ['list', '', 'pods']], true),
    ...cases('coordinator', [['get update patch', group, 'leases', `${lease}-2`]], false),
    ...cases('coordinator', [own], false).map((one) => ({ ...one, elsewhere: true })),
    ...cases('coordinator', forbiddenToPods, false),
    ...cases('worker', [own, ['create', group, 'leases'], ['list', '', 'pods']], false),
    ...cases('worker', forbiddenToPods, false),
    ...cases('launcher', launcherRows, true),
    ...cases(
      'launcher',
      [
        ['get list patch delete', '', 'secrets'],
        ['create', '', 'pods/exec'],
      ],
      false,
    ),
  ];
}

function cases(
  account: AccessCase['account'],
  rows: readonly Row[],
  isAllowed: boolean,
): AccessCase[] {
  return rows.flatMap(([verbs, group, target, name]) => {
    const [resource = '', subresource] = target.split('/');
    return verbs.split(' ').map((verb) => ({
      ...{ account, verb, group, resource, isAllowed },
      ...(subresource === undefined ? {} : { subresource }),
      ...(name === undefined ? {} : { name }),
    }));
  });
}

/** The rights of a launcher as rules of a Role. */
export function launcherRules(): V1PolicyRule[] {
  return launcherRows.map(([verbs, group, resource]) => ({
    apiGroups: [group],
    resources: [resource],
    verbs: verbs.split(' '),
  }));
}
