// The Lease of a run in a cluster: how the operator names it, k8s://NAMESPACE/NAME, and what is
// written on it besides its holder. Pure.

import { OperatorError } from '../problems.js';

/** Annotations of the Lease: the leader's status, and how many workers it is to have. */
export const leaseAnnotations = {
  status: 'lockstep.dev/status',
  workers: 'lockstep.dev/workers',
} as const;

/** A Lease object of a cluster. */
export interface LeasePlace {
  readonly namespace: string;
  readonly name: string;
}

const form = /^k8s:\/\/([^/]*)\/([^/]*)$/;
const namespaceForm = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const nameForm = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/** Parses the value of `--lease`; an OperatorError says what it must look like. */
export function parseLeaseUrl(given: string): LeasePlace {
  const [, namespace = '', name = ''] = form.exec(given) ?? [];
  if (namespaceForm.test(namespace) && nameForm.test(name)) return { namespace, name };
  throw new OperatorError('the coordinator can not start', [
    {
      key: '--lease',
      given,
      allowed: 'k8s://NAMESPACE/NAME, in lower case letters, digits and hyphens',
    },
  ]);
}
