// Who is answered with metrics: anybody on this machine, and where doors are closed, of all others
// an observer or operator of the run. Probes of a cluster have no certificate.

import type { Certificates } from '../tls/certificates.js';
import { isLoopbackDoor } from '../tls/doors.js';
import type { HttpAccess } from './access.js';

/** Paths that are answered without a certificate. */
export const probes = ['/healthz', '/readyz'];

/** For metrics at "host:port"; without certificates they are open. */
export function metricsAccess(at: string, certificates: Certificates | undefined): HttpAccess {
  if (certificates === undefined || isLoopbackDoor({ at })) return { kind: 'open' };
  return { kind: 'certificate', certificates };
}
