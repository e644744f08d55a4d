// What to do when a coordinator does not answer because only one of the two speaks TLS, or because
// they do not accept each other.

import { answerAt } from '../../shared/tls/answer.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import { identityText } from '../../shared/tls/identity.js';

/** What is wrong with the connection, and what helps; undefined if TLS has no part in it. */
export async function handshakeHint(
  address: string,
  certificates: Certificates | undefined,
): Promise<{ readonly text: string; readonly hint: string } | undefined> {
  const answer = await answerAt(address);
  if (answer === 'tls' && certificates === undefined)
    return {
      text: `the coordinator at ${address} speaks TLS`,
      hint:
        'Give the folder with your certificate: --tls-dir DIR, or LOCKSTEP_TLS_DIR\n' +
        '`lockstep tls init DIR` made one, with operator.crt and operator.key',
    };
  if (answer === 'tls' && certificates !== undefined)
    return {
      text: `the coordinator at ${address} and this command do not accept each other`,
      hint: `Ours is of ${identityText(certificates.identities())}: lockstep tls show DIR`,
    };
  if (answer === 'clear' && certificates !== undefined)
    return {
      text: `what answers at ${address} does not speak TLS`,
      hint: 'Leave out --tls-dir and LOCKSTEP_TLS_DIR if it is a run without TLS',
    };
  return undefined;
}
