// What the Jobs of both programs have in common: the Pod Security profile "restricted" and a little
// more, how pods reach the object store, how long they have to end, and the queue they wait in.

import type {
  V1Container,
  V1EnvVar,
  V1Job,
  V1JobSpec,
  V1PodSpec,
  V1ResourceRequirements,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';
import { natsLoginVariables } from '../../../shared/environment.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import type { LaunchParameters } from '../launch-parameters.js';
import { labelsOf, objectNames, ports, selectorLabels, type Component } from '../names.js';
import type { CertificateParts } from './certificates.js';
import { metadataOf, type Manifest, type Owner } from './root.js';

/** Seconds that leaving in order may take: the worker's --drain-timeout in a cluster. */
export const drainTimeoutS = 120;

/** Seconds from SIGTERM to SIGKILL: the drain, and time to store what only one worker has. */
export const gracePeriodS = 180;

/** Of an image that `npm run image` builds: by number, as Kubernetes can't look names up. */
export const userId = 1000;

/** A port of a container and of a Service. */
export interface NamedPort {
  readonly name: string;
  readonly number: number;
}

/** Where both programs answer Prometheus. */
export const metricsPort: NamedPort = { name: 'metrics', number: ports.metrics };

/** For a Prometheus that finds pods by annotations. */
const scrapeAnnotations = {
  'prometheus.io/scrape': 'true',
  'prometheus.io/port': String(ports.metrics),
  'prometheus.io/path': '/metrics',
};

/** What a Job's program adds to what both have. */
export interface JobParts {
  readonly component: Component;
  readonly certificates: CertificateParts;
  readonly spec: Omit<V1JobSpec, 'template' | 'suspend'>;
  /** Exit codes after which a pod is replaced without counting as failed. */
  readonly leavingCodes: readonly number[];
  /** The one that shows that it is ready, and others besides that of the metrics. */
  readonly port: NamedPort;
  readonly morePorts?: readonly NamedPort[];
  readonly probeS: number;
  readonly args: string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly resources: V1ResourceRequirements;
  readonly volumes?: V1Volume[];
  readonly mounts?: V1VolumeMount[];
  readonly subdomain?: string;
}

/** The Job of one of the programs. */
export function jobOf(owner: Owner, parameters: LaunchParameters, parts: JobParts) {
  const { component, spec, leavingCodes } = parts;
  const { queue } = parameters;
  const metadata = metadataOf(owner, objectNames(owner.name)[component], component);
  const labels: Record<string, string> =
    queue === undefined ? {} : { 'kueue.x-k8s.io/queue-name': queue };
  // The API server takes them in ascending order only.
  const onExitCodes = (...codes: number[]) => ({
    onExitCodes: {
      ...{ containerName: component, operator: 'In' },
      values: codes.toSorted((a, b) => a - b),
    },
  });
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { ...metadata, labels: { ...metadata.labels, ...labels } },
    spec: {
      ...(queue === undefined ? {} : { suspend: true }),
      ...spec,
      // Never two pods in one's place: the second would be taken for the first.
      podReplacementPolicy: 'Failed',
      podFailurePolicy: {
        rules: [
          { action: 'FailJob', ...onExitCodes(exitCodes.configuration) },
          { action: 'Ignore', ...onExitCodes(...leavingCodes) },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
      template: {
        metadata: {
          labels: labelsOf(owner.name, component),
          annotations: scrapeAnnotations,
        },
        spec: podSpec(owner, parameters, parts),
      },
    },
  } satisfies V1Job & Manifest;
}

function podSpec(owner: Owner, parameters: LaunchParameters, parts: JobParts): V1PodSpec {
  const { component, certificates, volumes = [], subdomain } = parts;
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: gracePeriodS,
    // The first process of a namespace is not ended by a signal that it does not listen for yet;
    // with this the pause container is that one, and Node a process like any other.
    shareProcessNamespace: true,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: userId,
      runAsGroup: userId,
      fsGroup: userId,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [containerOf(parameters, parts)],
    volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '1Gi' } }, ...volumes, ...certificates.volumes],
    serviceAccountName: parameters.serviceAccount ?? objectNames(owner.name)[component],
    ...(subdomain === undefined ? {} : { subdomain }),
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selectorLabels(owner.name, component) },
      },
    ],
  };
}

function containerOf(parameters: LaunchParameters, parts: JobParts): V1Container {
  const { component, args, resources, port, probeS, mounts = [], environment = {} } = parts;
  const { morePorts = [], certificates } = parts;
  const { image, s3Secret } = parameters;
  return {
    name: component,
    image,
    args: [...args, ...certificates.args, `--metrics=$(POD_IP):${ports.metrics}`],
    env: [
      ...environmentOf(parameters),
      ...Object.entries(environment).map(([name, value]) => ({ name, value })),
    ],
    envFrom: s3Secret === undefined ? [] : [{ secretRef: { name: s3Secret } }],
    ports: [port, metricsPort, ...morePorts].map(({ name, number }) => {
      return { name, containerPort: number, protocol: 'TCP' };
    }),
    // No liveness probe: the protocol finds a process that hangs, and a probe that is wrong about a
    // busy one would cost a worker.
    readinessProbe: { tcpSocket: { port: port.name }, periodSeconds: probeS },
    resources,
    // Nothing can be gained and nothing be written but /tmp.
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }, ...mounts, ...certificates.mounts],
  };
}

/** Where a pod is, and how it reaches its servers. */
function environmentOf({
  s3Endpoint,
  s3Region,
  natsUrl,
  natsSecret,
}: LaunchParameters): V1EnvVar[] {
  const field = (name: string, fieldPath: string): V1EnvVar => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const given = (name: string, value: string | undefined): V1EnvVar[] =>
    value === undefined ? [] : [{ name, value }];
  const secret = (key: string, optional?: true): V1EnvVar => ({
    name: key,
    valueFrom: { secretKeyRef: { name: natsSecret ?? '', key, ...(optional && { optional }) } },
  });
  const login = Object.values(natsLoginVariables).map((key) => secret(key, true));
  return [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_IP', 'status.podIP'),
    ...given('AWS_REGION', s3Region),
    ...given('LOCKSTEP_S3_ENDPOINT', s3Endpoint),
    ...given('LOCKSTEP_NATS_URL', natsUrl),
    ...(natsSecret === undefined ? [] : [secret('LOCKSTEP_NATS_URL'), ...login]),
  ];
}
