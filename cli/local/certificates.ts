// What a local run with certificates needs of their folder. Its processes look again, but by then
// the run is there, and its workers would be started again and again.

import { openGuard } from '../../coordinator/guard.js';
import { OperatorError } from '../../shared/problems.js';
import { openCertificates } from '../../shared/tls/certificates.js';
import { identityText, mayBe } from '../../shared/tls/identity.js';

/**
 * Throws an OperatorError unless the folder has certificates of the run's coordinator and of these
 * workers of it.
 */
export function requireCertificates(folder: string, run: string, workers: readonly string[]): void {
  openGuard(folder, run, () => undefined).certificates.close();
  for (const worker of workers) {
    const holder = { role: 'worker', worker } as const;
    const certificates = openCertificates({ folder, holder });
    certificates.close();
    const held = certificates.identities();
    if (mayBe(held, { run, ...holder })) continue;
    const allowed = `a certificate of worker ${worker} of ${run}`;
    throw new OperatorError('the run can not start', [
      { key: '--tls-dir', given: identityText(held), allowed },
    ]);
  }
}
