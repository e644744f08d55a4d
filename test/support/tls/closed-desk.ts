// A coordinator's port of a closed run, with nothing behind it but answers to operators.

import {
  operatorService,
  type OperatorRequests,
} from '../../../coordinator/edge/operator-service.js';
import { createSessions } from '../../../coordinator/edge/sessions.js';
import { openCertificates } from '../../../shared/tls/certificates.js';

/** Where it listens, and how it is closed. */
export interface ClosedDesk {
  /** "127.0.0.1:port" */
  readonly address: string;
  close(): Promise<void>;
}

/** Serves `requests` to operators and observers of a run, by the coordinator's certificate. */
export async function openClosedDesk(
  run: string,
  folder: string,
  requests: OperatorRequests | undefined,
): Promise<ClosedDesk> {
  const certificates = openCertificates({ folder, holder: { role: 'coordinator' } });
  const services = operatorService(() => requests, run);
  const guard = { run, certificates };
  const sessions = await createSessions('127.0.0.1:0', services, undefined, guard);
  return {
    address: sessions.address,
    close: async () => {
      await sessions.close(0);
      certificates.close();
    },
  };
}
