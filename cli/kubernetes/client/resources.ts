// Where the API server keeps the kinds of objects that a run is made of.

/** The kinds that Lockstep handles. */
export const kinds = {
  ConfigMap: { apiVersion: 'v1', plural: 'configmaps' },
  Pod: { apiVersion: 'v1', plural: 'pods' },
  Service: { apiVersion: 'v1', plural: 'services' },
  ServiceAccount: { apiVersion: 'v1', plural: 'serviceaccounts' },
  Job: { apiVersion: 'batch/v1', plural: 'jobs' },
  Lease: { apiVersion: 'coordination.k8s.io/v1', plural: 'leases' },
  NetworkPolicy: { apiVersion: 'networking.k8s.io/v1', plural: 'networkpolicies' },
  PodDisruptionBudget: { apiVersion: 'policy/v1', plural: 'poddisruptionbudgets' },
  Role: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'roles' },
  RoleBinding: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'rolebindings' },
} as const;

export type Kind = keyof typeof kinds;

/** The path of a namespace's objects of one kind, or of one of them. */
export function pathOf(kind: Kind, namespace: string, name?: string): string {
  const { apiVersion, plural } = kinds[kind];
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const of = `${root}/namespaces/${namespace}/${plural}`;
  return name === undefined ? of : `${of}/${name}`;
}
