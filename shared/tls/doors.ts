// Which ports may be open to others. Without certificates a program listens on this machine's own
// addresses only, unless its operator says that the network itself is closed.

import { isLoopbackHost } from '../http/access.js';
import type { Problem } from '../problems.js';

/**
 * What certificates are used for: `all`, or `control` for the coordinator's port alone, with what
 * workers exchange, gradients and states, in clear.
 */
export const tlsScopes = ['all', 'control'] as const;

export type TlsScope = (typeof tlsScopes)[number];

/** Where a process has its certificates, and what for. */
export interface TlsPlan {
  readonly folder: string;
  readonly scope: TlsScope;
}

/** A place to listen at, as the operator gave it, and the flag that has it. */
export interface ListenPlace {
  readonly key: string;
  /** "host:port" */
  readonly at: string;
}

/** Whether only this machine reaches it; an address without a host is all of its addresses. */
export function isLoopbackDoor({ at }: Pick<ListenPlace, 'at'>): boolean {
  const colon = at.lastIndexOf(':');
  return colon > 0 && isLoopbackHost(at.slice(0, colon));
}

/** What is wrong with doors that would be open to whoever reaches them. */
export function openDoorProblems(
  doors: readonly ListenPlace[],
  { isClosed, isInsecure }: { readonly isClosed: boolean; readonly isInsecure: boolean },
): Problem[] {
  if (isClosed || isInsecure) return [];
  return doors
    .filter((door) => !isLoopbackDoor(door))
    .map(({ key, at }) => ({
      ...{ key, given: at },
      allowed:
        "an address of this machine only, such as 127.0.0.1; others' with --tls-dir DIR, or with " +
        '--insecure in a network where nobody is a stranger',
      hint: '`lockstep tls init DIR` makes the certificates',
    }));
}

/** What it means that doors are open; undefined where none is. */
export function openDoorNotice(doors: readonly ListenPlace[]): string | undefined {
  const open = doors.filter((door) => !isLoopbackDoor(door)).map(({ at }) => at);
  if (open.length === 0) return undefined;
  return (
    `${open.join(', ')} is open, without TLS: whoever reaches it can read gradients, feed wrong ` +
    'ones, and stop the run'
  );
}
