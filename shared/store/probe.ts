// Whether a store keeps its promise that of two writers of a new object one is refused. Terms and
// records rest on it, and not every S3 server does so: some ignore the condition.

import { randomBytes } from 'node:crypto';
import { OperatorError } from '../problems.js';
import { PreconditionFailed, StoreUnavailable, type ObjectStore } from './store.js';

const body = Buffer.from('{}\n');

/**
 * Writes an object that is new, once more under the condition that it is new, and deletes it. An
 * OperatorError when the second is not refused, or the store does not let us write at all.
 */
export async function requireConditionalPuts(store: ObjectStore): Promise<void> {
  const key = `coordinators/probe-${randomBytes(9).toString('hex')}`;
  await store.put(key, body);
  try {
    await store.put(key, body, { ifAbsent: true });
  } catch (error) {
    if (error instanceof PreconditionFailed) return;
    if (error instanceof StoreUnavailable && /NotImplemented|HTTP 501/.test(error.message))
      throw unsafe(store.url, 'it does not know');
    throw error;
  } finally {
    // Who may not delete leaves a few bytes.
    await store.delete(key).catch(() => undefined);
  }
  throw unsafe(store.url, 'it ignores');
}

function unsafe(url: string, does: string): OperatorError {
  return new OperatorError('runs are not safe in this object store', [
    {
      key: 'url',
      given: url,
      allowed: 'a store where a put with "If-None-Match: *" replaces nothing',
      hint: `${does} that condition, so two coordinators could both lead the run`,
    },
  ]);
}
