// The coordinators of a run: a Job of one that leads and others that stand by, and the Service by
// which workers find the leader. Only the leader listens, so only it is ready.

import type { V1Container, V1Job, V1PodSpec, V1Service } from '@kubernetes/client-node';
import { exitCodes } from '../../../shared/exit-codes.js';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames, ports, rootKeys, selectorLabels } from '../names.js';
import { jobOf } from './job.js';
import { metadataOf, type Manifest, type Owner } from './object.js';
import {
  containerSecurity,
  credentialsOf,
  environmentOf,
  podBase,
  queuedJoinTimeoutS,
} from './pod.js';

const specFolder = '/etc/lockstep';
const token = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Seconds to wait for all workers: nodes may have to be added, images fetched. */
export const joinTimeoutS = 600;

/** The coordinators' Job. It ends when one of them has ended the run and the others are gone. */
export function coordinatorJob(owner: Owner, parameters: LaunchParameters): V1Job & Manifest {
  return jobOf(owner, {
    name: objectNames(owner.name).coordinator,
    component: 'coordinator',
    queue: parameters.queue,
    spec: {
      parallelism: parameters.coordinators,
      backoffLimit: 20,
      podReplacementPolicy: 'Failed',
      podFailurePolicy: { rules: failureRules() },
    },
    pod: podSpec(owner, parameters),
  });
}

/** 3, 5 and 6: it was asked to go, or another one leads; the run goes on with the next one. */
const leavingCodes = [exitCodes.stopped, exitCodes.drained, exitCodes.superseded];

function failureRules() {
  const onExitCodes = (...values: number[]) => ({
    onExitCodes: { containerName: 'coordinator', operator: 'In', values },
  });
  return [
    { action: 'FailJob', ...onExitCodes(exitCodes.configuration) },
    { action: 'Ignore', ...onExitCodes(...leavingCodes) },
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
  ];
}

function podSpec(owner: Owner, parameters: LaunchParameters): V1PodSpec {
  const names = objectNames(owner.name);
  const base = podBase(container(owner, parameters));
  return {
    ...base,
    serviceAccountName: parameters.serviceAccount ?? names.coordinator,
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selectorLabels(owner.name, 'coordinator') },
      },
    ],
    volumes: [
      ...(base.volumes ?? []),
      {
        name: 'spec',
        configMap: { name: names.root, items: [{ key: rootKeys.spec, path: rootKeys.spec }] },
      },
      // The token is for the Lease. Mounted by hand, it is there whatever the account says.
      { name: 'token', projected: { sources: tokenSources } },
    ],
  };
}

const tokenSources = [
  { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
  { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
  {
    downwardAPI: {
      items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }],
    },
  },
];

function container(owner: Owner, parameters: LaunchParameters): V1Container {
  return {
    name: 'coordinator',
    image: parameters.image,
    args: coordinatorArgs(owner, parameters),
    env: environmentOf(parameters),
    envFrom: credentialsOf(parameters),
    ports: [{ name: 'control', containerPort: ports.control, protocol: 'TCP' }],
    readinessProbe: { tcpSocket: { port: 'control' }, periodSeconds: 2 },
    resources: { requests: { cpu: '250m', memory: '256Mi' }, limits: { memory: '1Gi' } },
    securityContext: containerSecurity,
    volumeMounts: [
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'spec', mountPath: specFolder, readOnly: true },
      { name: 'token', mountPath: token, readOnly: true },
    ],
  };
}

function coordinatorArgs({ name }: Owner, parameters: LaunchParameters): string[] {
  const { lease } = objectNames(name);
  const joinS = parameters.queue === undefined ? joinTimeoutS : queuedJoinTimeoutS;
  return [
    'coordinator',
    `--file=${specFolder}/${rootKeys.spec}`,
    `--run=${parameters.runUrl}`,
    '--if-exists=resume',
    `--workers=${parameters.workers}`,
    `--listen=$(POD_IP):${ports.control}`,
    '--standby',
    `--lease=k8s://$(POD_NAMESPACE)/${lease}`,
    `--join-timeout=${joinS}`,
    '--json',
  ];
}

/** The Service that workers dial. */
export function coordinatorService(owner: Owner): V1Service & Manifest {
  const { coordinator } = objectNames(owner.name);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(owner, coordinator, 'coordinator'),
    spec: {
      selector: selectorLabels(owner.name, 'coordinator'),
      ports: [{ name: 'control', port: ports.control, targetPort: 'control', protocol: 'TCP' }],
    },
  };
}
