// What the pods of both programs have in common: the Pod Security profile "restricted" and a
// little more, how they reach the object store, and how long they have to end.

import type {
  V1Container,
  V1EnvFromSource,
  V1EnvVar,
  V1PodSpec,
  V1SecurityContext,
} from '@kubernetes/client-node';
import type { LaunchParameters } from '../launch-parameters.js';

/** Seconds that leaving in order may take: the worker's --drain-timeout in a cluster. */
export const drainTimeoutS = 120;

/** Seconds from SIGTERM to SIGKILL: the drain, and time to store what only one worker has. */
export const gracePeriodS = 180;

/** Of an image that `npm run image` builds: by number, as Kubernetes can't look names up. */
export const userId = 1000;

/** Nothing can be gained and nothing be written but /tmp. */
export const containerSecurity: V1SecurityContext = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

/** The fields of a pod that are the same for coordinators and workers. */
export function podBase(container: V1Container): V1PodSpec {
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: gracePeriodS,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: userId,
      runAsGroup: userId,
      fsGroup: userId,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [container],
    volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '1Gi' } }],
  };
}

/** Where a pod is, and how it reaches its servers. */
export function environmentOf({ s3Endpoint, s3Region, natsUrl }: LaunchParameters): V1EnvVar[] {
  const field = (name: string, fieldPath: string): V1EnvVar => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const given = (name: string, value: string | undefined): V1EnvVar[] =>
    value === undefined ? [] : [{ name, value }];
  return [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_IP', 'status.podIP'),
    ...given('AWS_REGION', s3Region),
    ...given('LOCKSTEP_S3_ENDPOINT', s3Endpoint),
    ...given('LOCKSTEP_NATS_URL', natsUrl),
  ];
}

/** Credentials of the object store, by reference. */
export function credentialsOf({ s3Secret }: LaunchParameters): V1EnvFromSource[] {
  return s3Secret === undefined ? [] : [{ secretRef: { name: s3Secret } }];
}

/** Seconds that coordinators and workers wait for each other where a queue starts them. */
export const queuedJoinTimeoutS = 86_400;
