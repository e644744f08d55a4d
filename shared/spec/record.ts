// The run record: the object `run.json` that makes a folder a run. It is written once, before the
// first step, and never changed; everything a run's bytes depend on is in it.

import { z } from 'zod';
import { OperatorError } from '../problems.js';
import { runSpecSchema } from './schema.js';
import { validateSpec } from './validate.js';
import { ObjectNotFound, PreconditionFailed, type ObjectStore } from '../store/store.js';
import { parseJson } from '../bounded-json.js';

/** Key of the record under the run's url. */
export const recordKey = 'run.json';

const maxRecordBytes = 1024 * 1024;

const runRecordSchema = z.strictObject({
  format: z.literal('lockstep-run/1'),
  run: z.string().min(1).max(200),
  /** The spec, with the dataset's index sum pinned. */
  spec: runSpecSchema,
  createdAt: z.iso.datetime(),
});

export type RunRecord = z.infer<typeof runRecordSchema>;

/** An OperatorError when the folder already is a run. */
export async function refuseExistingRun(store: ObjectStore): Promise<void> {
  if ((await store.head(recordKey)) !== undefined) throw existsAlready(store.url);
}

/**
 * Writes the record of a new run; an OperatorError when the folder already is a run. That this very
 * record is there is success: it was written by a try whose answer was lost.
 */
export async function createRunRecord(store: ObjectStore, record: RunRecord): Promise<void> {
  const body = Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
  try {
    await store.put(recordKey, body, { ifAbsent: true, contentType: 'application/json' });
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    const range = { start: 0, end: maxRecordBytes + 1 };
    if (!(await store.get(recordKey, range)).equals(body)) throw existsAlready(store.url);
  }
}

function existsAlready(url: string): OperatorError {
  return new OperatorError('the run exists already', [
    {
      key: '--run',
      given: url,
      allowed: 'a folder that holds no run yet',
      hint: `go on with it: lockstep resume ${url}`,
    },
  ]);
}

/** The record of the run that is there, if there is one. */
export async function findRunRecord(store: ObjectStore): Promise<RunRecord | undefined> {
  return (await store.head(recordKey)) === undefined ? undefined : readRunRecord(store);
}

/** Reads the record of a run; an OperatorError when there is none or it can't be read. */
export async function readRunRecord(store: ObjectStore): Promise<RunRecord> {
  const problem = (allowed: string): OperatorError =>
    new OperatorError('there is no such run', [{ key: 'RUN', given: store.url, allowed }]);
  let body: Buffer;
  try {
    body = await store.get(recordKey, { start: 0, end: maxRecordBytes + 1 });
  } catch (error) {
    if (error instanceof ObjectNotFound)
      throw problem(`a folder with a ${recordKey}, as lockstep train leaves it`);
    throw error;
  }
  if (body.length > maxRecordBytes) throw problem(`a ${recordKey} of at most 1 MiB`);
  return parseRunRecord(body.toString('utf8'));
}

/** Parses a record's JSON; an OperatorError names what is wrong. */
export function parseRunRecord(text: string): RunRecord {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    throw new OperatorError('the run record is not valid', [
      { key: recordKey, given: text.slice(0, 80), allowed: 'the JSON that lockstep train wrote' },
    ]);
  }
  const parsed = runRecordSchema.safeParse(value);
  const validated = validateSpec(Object(value).spec);
  if (parsed.success && validated.kind === 'valid') return parsed.data;
  const wrongSpec = validated.kind === 'valid' ? [] : validated.problems;
  const others = (parsed.error?.issues ?? []).filter(({ path }) => path[0] !== 'spec');
  throw new OperatorError('the run record is not valid', [
    ...wrongSpec.map((problem) => ({ ...problem, key: `spec.${problem.key}` })),
    ...others.map(({ path, message }) => {
      const key = path.join('.') || recordKey;
      return { key, given: Object(value)[key], allowed: message };
    }),
  ]);
}
