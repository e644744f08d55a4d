// The certificates of a run's pods: whose there are, in which Secret they lie, and which of them a
// pod gets. A coordinator's pod has no worker's key, and a worker's pod no coordinator's.

import type { V1KeyToPath, V1Secret, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { authorityFile, certificateName, type Holder } from '../../../shared/tls/certificates.js';
import { anyName, type Identity } from '../../../shared/tls/identity.js';
import { runId } from '../../stores.js';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames, type Component } from '../names.js';
import { metadataOf, type Manifest, type Owner } from './root.js';

/** Where pods find their certificates. */
const folder = '/etc/lockstep-tls';

/**
 * Workers with a certificate each. A Secret holds 1 MiB, and each pod of the Job lists them all; of
 * a run that can have more, one certificate is for any worker.
 */
export const mostNamedWorkers = 128;

/** cert-manager's name for a certificate: what a program takes that finds none of its own name. */
const nameless = 'tls';

/** In a Secret, where a `*` can't be. */
const anyWorker = 'worker-any';

/** The Secrets of coordinators and of workers by name; undefined where pods talk in clear. */
export function certificateSecrets(
  parameters: LaunchParameters,
): Readonly<Record<Component, string>> | undefined {
  const { name, insecure, tlsSecret } = parameters;
  if (insecure === true) return undefined;
  const [coordinator = objectNames(name).certificates, worker = coordinator] =
    tlsSecret?.split(',') ?? [];
  return { coordinator, worker };
}

/** Whether a launch makes the Secret itself. */
export function hasOwnSecret({ insecure, tlsSecret }: LaunchParameters): boolean {
  return insecure !== true && tlsSecret === undefined;
}

/** Whom a run's own Secret has certificates for, if it can have `microShards` workers. */
export function certificateHolders(microShards: number): Holder[] {
  const ids =
    microShards > mostNamedWorkers
      ? [anyName]
      : Array.from({ length: microShards }, (_, i) => workerId(i));
  return [
    { role: 'coordinator' },
    ...ids.map((worker): Holder => ({ role: 'worker', worker })),
    { role: 'operator' },
    { role: 'observer' },
  ];
}

/** The id of the worker of an index, as its Job gives it. */
export function workerId(index: number): string {
  return `worker-${index}`;
}

/** The place of a holder in a run, which the pods know by the last part of its url. */
export function identityIn({ runUrl }: LaunchParameters, holder: Holder): Identity {
  return { run: runId(runUrl), ...holder };
}

/** Keys of a holder in a Secret, without ending. */
export function secretKey(holder: Holder): string {
  return holder.worker === anyName ? anyWorker : certificateName(holder);
}

/** The Secret of a run, with texts in PEM by their keys. It goes with the run. */
export function certificateSecret(
  owner: Owner,
  texts: ReadonlyMap<string, string>,
): V1Secret & Manifest {
  const encoded = [...texts].map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadataOf(owner, objectNames(owner.name).certificates),
    type: 'Opaque',
    data: Object.fromEntries(encoded) as Record<string, string>,
  };
}

/** What a program's pods get besides: arguments, a volume, and where it is mounted. */
export interface CertificateParts {
  readonly args: readonly string[];
  readonly volumes: readonly V1Volume[];
  readonly mounts: readonly V1VolumeMount[];
}

/** For the pods of a run that can have `microShards` workers. */
export function certificateParts(
  parameters: LaunchParameters,
  component: Component,
  microShards: number,
): CertificateParts {
  const secrets = certificateSecrets(parameters);
  if (secrets === undefined) return { args: ['--insecure'], volumes: [], mounts: [] };
  // Of the run's own Secret what is this program's; one that was given is for it alone.
  const items = hasOwnSecret(parameters) ? { items: itemsOf(component, microShards) } : {};
  const secret = { secretName: secrets[component], defaultMode: 0o440, ...items };
  const { tls } = parameters;
  return {
    args: [`--tls-dir=${folder}`, ...(tls === undefined ? [] : [`--tls=${tls}`])],
    // For the user and the group of the pod (fsGroup), and to read only.
    volumes: [{ name: 'tls', secret }],
    mounts: [{ name: 'tls', mountPath: folder, readOnly: true }],
  };
}

function itemsOf(component: Component, microShards: number): V1KeyToPath[] {
  const holders = certificateHolders(microShards).filter(({ role }) => role === component);
  const files = holders.flatMap((holder) => {
    const path = holder.worker === anyName ? nameless : certificateName(holder);
    return ['crt', 'key'].map((end) => ({
      ...{ key: `${secretKey(holder)}.${end}`, path: `${path}.${end}` },
    }));
  });
  return [{ key: authorityFile, path: authorityFile }, ...files];
}
