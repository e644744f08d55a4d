// Who leads a run: the object store is the authority. Each coordinator takes the next term by
// writing a file that nobody has written before; the highest term leads, whoever holds a lower one
// steps down, and commands find the leader's address in it.

import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { maxTerm } from '../../shared/words.js';
import { ObjectNotFound, PreconditionFailed, type ObjectStore } from '../../shared/store/store.js';
import { parseJson } from '../../shared/bounded-json.js';
import { firstIssue, printable } from '../../shared/problems.js';

const folder = 'coordinators/';
const nameOfTerm = /^coordinators\/term-(\d{8,10})\.json$/;

/** Files that stay: the operator can see who led lately. */
const keptTerms = 16;

const maxFileBytes = 64 * 1024;

/** Coordinators that may take the next term before us, one after the other, until we give up. */
const maxTries = 64;

/** How often a leader looks whether the term is still its own: as long as a lost file is away. */
export const termLookMs = 5_000;

const identitySchema = z.object({
  /** "host:port" that workers and commands reach it by. */
  address: z.string().min(1).max(300).transform(printable),
  pid: z.int().min(0),
  host: z.string().max(253).transform(printable),
  startedAt: z.iso.datetime(),
});

/** A coordinator, as it says who it is. */
export type CoordinatorIdentity = z.infer<typeof identitySchema>;

/** The leader of a term. */
export interface Term extends CoordinatorIdentity {
  readonly term: number;
}

/**
 * Takes the next term of the run at `store` for this coordinator, and deletes the oldest files.
 * The term is from 1 up, and greater than every term taken before.
 */
export async function claimTerm(store: ObjectStore, leader: CoordinatorIdentity): Promise<number> {
  const body = bodyOf(leader);
  for (let tries = 1; tries <= maxTries; tries++) {
    const term = (await newestTermNumber(store)) + 1;
    if (term > maxTerm) throw new Error(`all terms up to ${maxTerm} are used up`);
    if (!(await couldTake(store, term, body))) continue;
    const terms = await listTerms(store);
    // The number was free only because its file had been deleted: others are far ahead.
    if (terms.some(({ term: other }) => other > term)) continue;
    await deleteOldest(store, terms);
    return term;
  }
  throw new Error(`${maxTries} other coordinators took the next term of ${store.url} at once`);
}

/** What a leader finds when it looks at its own term. */
export type TermHolding =
  | { readonly kind: 'held' }
  /** Its file was gone, and is there again. */
  | { readonly kind: 'restored' }
  /** The file names another coordinator. */
  | { readonly kind: 'taken'; readonly holder: string };

/**
 * Makes sure that the store names this leader as that of its term. A file that somebody has deleted
 * is written again, unless another coordinator has taken the number since: of two one is refused.
 */
export async function holdTerm(
  store: ObjectStore,
  term: number,
  leader: CoordinatorIdentity,
): Promise<TermHolding> {
  const body = bodyOf(leader);
  for (let tries = 1; tries <= maxTries; tries++) {
    try {
      const found = await store.get(keyOf(term), { start: 0, end: maxFileBytes });
      if (found.equals(body)) return { kind: 'held' };
      return { kind: 'taken', holder: describeHolder(found) };
    } catch (error) {
      if (!(error instanceof ObjectNotFound)) throw error;
    }
    if (await couldTake(store, term, body)) return { kind: 'restored' };
  }
  throw new Error(`${store.url}/${keyOf(term)} is deleted again and again`);
}

function describeHolder(body: Buffer): string {
  try {
    const { pid, host, address } = identitySchema.parse(parseJson(body.toString('utf8')));
    return `pid ${pid} on ${host} at ${address}`;
  } catch {
    return 'no coordinator that could be read';
  }
}

/** The newest term, which leads: its number, and where its coordinator is. */
export async function newestTerm(store: ObjectStore): Promise<Term | undefined> {
  const newest = (await listTerms(store)).at(-1);
  if (newest === undefined) return undefined;
  try {
    return { term: newest.term, ...(await readLeader(store, newest.key)) };
  } catch (error) {
    // Listed, but deleted since: by a coordinator that leads now.
    if (error instanceof ObjectNotFound) return newestTerm(store);
    throw error;
  }
}

/** Between two looks at a store for a file that may come. */
const settlePollMs = 500;

/**
 * The newest term of a run that has been led. Where there is none its files were deleted, and a
 * leader that lives writes its own again: that is waited for.
 */
export async function settledTerm(store: ObjectStore): Promise<Term | undefined> {
  for (let leftMs = termLookMs + 1_000; ; leftMs -= settlePollMs) {
    const term = await newestTerm(store);
    if (term !== undefined || leftMs <= 0) return term;
    await sleep(settlePollMs);
  }
}

/** The number of the newest term, 0 before the first: a leader with a lower one steps down. */
export async function newestTermNumber(store: ObjectStore): Promise<number> {
  return (await listTerms(store)).at(-1)?.term ?? 0;
}

interface ListedTerm {
  readonly term: number;
  readonly key: string;
}

/** By number, the newest last. */
async function listTerms(store: ObjectStore): Promise<ListedTerm[]> {
  const terms: ListedTerm[] = [];
  for await (const { key } of store.list(folder)) {
    const term = Number(nameOfTerm.exec(key)?.[1] ?? 0);
    if (term >= 1 && term <= maxTerm) terms.push({ term, key });
  }
  return terms.sort((a, b) => a.term - b.term);
}

function keyOf(term: number): string {
  return `${folder}term-${String(term).padStart(8, '0')}.json`;
}

function bodyOf(leader: CoordinatorIdentity): Buffer {
  return Buffer.from(`${JSON.stringify(identitySchema.parse(leader))}\n`);
}

async function couldTake(store: ObjectStore, term: number, body: Uint8Array): Promise<boolean> {
  try {
    await store.put(keyOf(term), body, { ifAbsent: true, contentType: 'application/json' });
    return true;
  } catch (error) {
    if (error instanceof PreconditionFailed) return false;
    throw error;
  }
}

/** A file that can't be deleted is deleted by a later coordinator. */
async function deleteOldest(store: ObjectStore, terms: readonly ListedTerm[]): Promise<void> {
  for (const { key } of terms.slice(0, -keptTerms)) await store.delete(key).catch(() => undefined);
}

async function readLeader(store: ObjectStore, key: string): Promise<CoordinatorIdentity> {
  const body = await store.get(key, { start: 0, end: maxFileBytes });
  const refuse = (reason: string): Error =>
    new Error(`${store.url}/${key} is not valid: ${reason}`);
  let value: unknown;
  try {
    value = parseJson(body.toString('utf8'));
  } catch {
    throw refuse('it is not JSON');
  }
  const parsed = identitySchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw refuse(firstIssue(parsed.error));
}
