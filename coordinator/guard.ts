// What a closed coordinator knows who calls by: its own certificates, and the run that others must
// be of.

import { OperatorError } from '../shared/problems.js';
import { openCertificates, type Certificates } from '../shared/tls/certificates.js';
import { identityText, mayBe } from '../shared/tls/identity.js';

/** Workers have to be those of the run, and operators its operators. */
export interface SessionGuard {
  readonly run: string;
  readonly certificates: Certificates;
}

/** Our certificates, which must be of the run's coordinator: its workers accept nobody else. */
export function openGuard(
  folder: string,
  run: string,
  onNotice: (text: string) => void,
): SessionGuard {
  const holder = { role: 'coordinator' } as const;
  const certificates = openCertificates({ folder, holder, onNotice });
  const held = certificates.identities();
  if (mayBe(held, { run, ...holder })) return { run, certificates };
  certificates.close();
  throw new OperatorError('the coordinator can not start', [
    {
      key: '--tls-dir',
      given: identityText(held),
      allowed: `a certificate of the coordinator of ${run}`,
    },
  ]);
}
