// Who a certificate says that its holder is: URIs among its alternative names, one for each place
// that the holder may take in a run. Addresses are not looked at: pods get new ones.

/** What a process may do: `observer` may look at pages and metrics, `operator` steer as well. */
export const roles = ['coordinator', 'worker', 'operator', 'observer'] as const;

export type Role = (typeof roles)[number];

/** A place in a run. */
export interface Identity {
  readonly run: string;
  readonly role: Role;
  /** The id of a worker; of other roles undefined. */
  readonly worker?: string | undefined;
}

/** In a certificate, in place of a run or of a worker's id: any. */
export const anyName = '*';

/** "lockstep://faces/worker/w-1", "lockstep://faces/coordinator", with `*` for any. */
export function identityUri({ run, role, worker }: Identity): string {
  const parts = role === 'worker' ? [role, encoded(worker ?? anyName)] : [role];
  return ['lockstep:/', encoded(run), ...parts].join('/');
}

/** Letters that mean something in an address, or between addresses, are written as %XX. */
function encoded(name: string): string {
  return encodeURIComponent(name).replace(/[!'()]/g, percent);
}

function percent(letter: string): string {
  return `%${letter.charCodeAt(0).toString(16).toUpperCase()}`;
}

/**
 * The identities among a certificate's alternative names, as Node gives them
 * ("URI:lockstep://faces/worker/w-1, DNS:lockstep"). Names that are none of ours are passed over.
 */
export function identitiesOf(alternativeNames: string | undefined): Identity[] {
  const names = (alternativeNames ?? '').slice(0, 65_536).split(', ');
  return names.flatMap((name) => {
    const [, run, role, worker] =
      /^URI:lockstep:\/\/([^/]+)\/([a-z]+)(?:\/([^/]+))?$/.exec(name) ?? [];
    const known = roles.find((one) => one === role);
    if (run === undefined || known === undefined) return [];
    if ((known === 'worker') !== (worker !== undefined)) return [];
    const identity = { run: decoded(run), role: known, worker: worker && decoded(worker) };
    return [identity];
  });
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Whether a holder of these may take the place `wanted`. */
export function mayBe(held: readonly Identity[], wanted: Identity): boolean {
  const covers = (has: string | undefined, asked: string | undefined): boolean =>
    has === asked || has === anyName;
  return held.some(
    (one) =>
      one.role === wanted.role && covers(one.run, wanted.run) && covers(one.worker, wanted.worker),
  );
}

/** A place in whatever run: of a worker without an id any worker's. */
export type RunPlace = Omit<Identity, 'run'>;

/** Whether a holder of `held` may take a place in a run that a holder of `own` is in. */
export function isFellow(
  held: readonly Identity[],
  own: readonly Identity[],
  { role, worker }: RunPlace,
): boolean {
  const runs = own.map(({ run }) => run);
  return held.some(({ run, ...one }) => {
    const isInRun = run === anyName || runs.includes(run) || runs.includes(anyName);
    const isIt = worker === undefined || one.worker === worker || one.worker === anyName;
    return isInRun && one.role === role && isIt;
  });
}

/** "worker w-1 of faces", for logs and errors; of several the first three. */
export function identityText(held: readonly Identity[]): string {
  if (held.length === 0) return 'nobody of Lockstep';
  const texts = held.slice(0, 3).map(({ run, role, worker }) => {
    const who = worker === undefined ? role : `${role} ${worker === anyName ? '(any)' : worker}`;
    return `${who} of ${run === anyName ? 'any run' : run}`;
  });
  return texts.join(', ') + (held.length > 3 ? ', ...' : '');
}
