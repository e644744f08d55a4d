// The Secret that a launch makes: an authority of the run's own, whose key nobody keeps, and a
// certificate for each who takes part. It is made once; whoever comes later leaves it as it is.

import type { V1Secret } from '@kubernetes/client-node';
import { ClusterError } from '../../../shared/kubernetes/refusal.js';
import { OperatorError } from '../../../shared/problems.js';
import { authorityFile } from '../../../shared/tls/certificates.js';
import type { ClusterClient } from '../client/cluster-client.js';
import type { LaunchParameters } from '../launch-parameters.js';
import { formatClusterRun, objectNames } from '../names.js';
import {
  certificateHolders,
  certificateSecret,
  identityIn,
  secretKey,
} from '../objects/certificates.js';
import type { Owner } from '../objects/root.js';

/** Longer than any run; a cancelled run that is launched again gets new ones. */
export const certificateDays = 400;

/**
 * Makes the Secret of a run that can have `microShards` workers, if it has none. An OperatorError
 * where there is another one of its name, as far as the account may see that.
 */
export async function ensureRunSecret(
  client: ClusterClient,
  owner: Owner,
  parameters: LaunchParameters,
  microShards: number,
): Promise<void> {
  const texts = await makeCertificates(parameters, microShards);
  const made = await client.create<V1Secret>(certificateSecret(owner, texts));
  if (made === undefined) await requireOwn(client, owner);
}

/** Texts in PEM by their keys in the Secret. */
async function makeCertificates(
  parameters: LaunchParameters,
  microShards: number,
): Promise<ReadonlyMap<string, string>> {
  // The library is large, and other commands start without it.
  const { createAuthority } = await import('../../../shared/tls/authority.js');
  const authority = await createAuthority(`lockstep ${parameters.name}`, certificateDays);
  const texts = new Map([[authorityFile, authority.ca]]);
  for (const holder of certificateHolders(microShards)) {
    const { cert, key } = await authority.issue([identityIn(parameters, holder)]);
    texts.set(`${secretKey(holder)}.crt`, cert).set(`${secretKey(holder)}.key`, key);
  }
  return texts;
}

async function requireOwn(client: ClusterClient, owner: Owner): Promise<void> {
  const { namespace, name, uid } = owner;
  const { certificates } = objectNames(name);
  const there = await readSecret(client, namespace, certificates);
  if (there === 'hidden' || there === undefined) return;
  if (there.metadata?.ownerReferences?.some((one) => one.uid === uid) === true) return;
  throw new OperatorError(`the certificates of ${formatClusterRun(owner)} can not be made`, [
    {
      ...{ key: '--name', given: name },
      allowed: `a name for which there is no Secret ${certificates} yet`,
      hint: `delete that one, or use it: --tls-secret ${certificates}`,
    },
  ]);
}

/** A Secret; `hidden` where the account may not read it, undefined where there is none. */
export async function readSecret(
  client: ClusterClient,
  namespace: string,
  name: string,
): Promise<V1Secret | 'hidden' | undefined> {
  try {
    return await client.get<V1Secret>('Secret', namespace, name);
  } catch (error) {
    if (error instanceof ClusterError && error.status === 403) return 'hidden';
    throw error;
  }
}
