// The flags of closed doors: for programs that listen, where their certificates are and what may
// stay open; for operators' commands, the certificate that a closed run asks of them.

import type { Options } from 'yargs';
import { readEnvironment } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';
import { openCertificates, type Certificates, type Holder } from '../../shared/tls/certificates.js';
import {
  openDoorNotice,
  openDoorProblems,
  tlsScopes,
  type ListenPlace,
  type TlsPlan,
  type TlsScope,
} from '../../shared/tls/doors.js';
import { flagOption, wordOption } from '../options.js';
import { printNote } from '../output.js';

/** For programs that listen. */
export const doorOptions = {
  'tls-dir': wordOption(
    'folder of certificates (lockstep tls init): mutual TLS at all ports ($LOCKSTEP_TLS_DIR)',
  ),
  tls: {
    choices: tlsScopes,
    default: 'all',
    describe: 'control leaves what workers exchange, gradients and whole states, in clear',
  },
  insecure: flagOption('listen for other machines without TLS: whoever reaches it is obeyed'),
} as const satisfies Record<string, Options>;

/** For commands that ask a run. */
export const askingOptions = {
  'tls-dir': wordOption(
    'Folder with ca.crt and operator.crt, or observer.crt, for a run with TLS ($LOCKSTEP_TLS_DIR)',
  ),
} as const satisfies Record<string, Options>;

/** As yargs gives them. */
export interface AskingArguments {
  readonly tlsDir?: string | undefined;
  readonly 'tls-dir'?: string | undefined;
}

/** As yargs gives them. */
export interface DoorArguments extends AskingArguments {
  readonly tls: TlsScope;
  readonly insecure: boolean;
}

/**
 * How a program's doors are, after it is checked that the folder can be used and that none is open
 * to others unasked. Says what it means where one is. Throws an OperatorError.
 */
export function chooseDoors(
  args: DoorArguments,
  holder: Holder,
  doors: readonly ListenPlace[],
): TlsPlan | undefined {
  const folder = tlsFolder(args);
  const isClosed = folder !== undefined;
  const { tls: scope, insecure: isInsecure } = args;
  const problems = openDoorProblems(doors, { isClosed, isInsecure });
  if (isClosed && isInsecure)
    problems.push({ key: '--insecure', given: true, allowed: 'without --tls-dir' });
  if (!isClosed && scope !== 'all')
    problems.push({ key: '--tls', given: scope, allowed: 'together with --tls-dir' });
  if (problems.length > 0) throw new OperatorError('the doors are not closed', problems);
  const notice = isClosed ? undefined : openDoorNotice(doors);
  if (notice !== undefined) printNote(notice);
  if (folder === undefined) return undefined;
  openCertificates({ folder, holder }).close();
  return { folder, scope };
}

/** The flags that give the same doors to another process. */
export function doorFlags({ tlsDir, tls, insecure }: DoorArguments): string[] {
  return [
    ...(tlsDir === undefined ? [] : ['--tls-dir', tlsDir]),
    ...(tls === 'all' ? [] : ['--tls', tls]),
    ...(insecure ? ['--insecure'] : []),
  ];
}

/** The folder that is given, or that the environment names. */
export function tlsFolder({ tlsDir }: AskingArguments): string | undefined {
  return tlsDir ?? readEnvironment().tlsFolder;
}

/** Whoever asks a run: an operator's certificate, else an observer's; undefined: in clear. */
export function openOperator(args: AskingArguments): Certificates | undefined {
  const folder = tlsFolder(args);
  if (folder === undefined) return undefined;
  try {
    return openCertificates({ folder, holder: { role: 'operator' } });
  } catch (error) {
    try {
      return openCertificates({ folder, holder: { role: 'observer' } });
    } catch {
      throw error;
    }
  }
}
