// The two Jobs of a run with the Services by which their pods are found, and how many workers may
// be away at a time. Of the coordinators one leads and listens, so only that one is ready. The
// workers are an Indexed Job, whose pods are replaced under the same index.

import type {
  V1Job,
  V1PodDisruptionBudget,
  V1ResourceRequirements,
  V1Service,
} from '@kubernetes/client-node';
import { exitCodes } from '../../../shared/exit-codes.js';
import { deviceVariables } from '../../local/devices.js';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames, ports, rootKeys, selectorLabels } from '../names.js';
import { certificateParts } from './certificates.js';
import { drainTimeoutS, jobOf, metricsPort, type NamedPort } from './pod.js';
import { metadataOf, type Manifest, type Owner } from './root.js';

const specFolder = '/etc/lockstep';

/** Seconds to wait for all workers: nodes may have to be added, images fetched. */
const joinTimeoutS = 600;

/** Seconds that coordinators and workers wait for each other where a queue starts them. */
const queuedJoinTimeoutS = 86_400;

/** It was asked to go, with or without something to go on with, or before it listened. */
const stoppedCodes = [
  ...[exitCodes.stopped, exitCodes.drained, exitCodes.interrupted, exitCodes.terminated],
];

const control = { name: 'control', number: ports.control };
const exchange = { name: 'exchange', number: ports.exchange };
const page = { name: 'page', number: ports.page };

/** The coordinators' Job. It ends when one of them has ended the run and the others are gone. */
export function coordinatorJob(
  owner: Owner,
  parameters: LaunchParameters,
  microShards: number,
): V1Job & Manifest {
  const { root, lease } = objectNames(owner.name);
  const items = [{ key: rootKeys.spec, path: rootKeys.spec }];
  const { runUrl, datasetUrl, workers, coordinators, queue } = parameters;
  return jobOf(owner, parameters, {
    component: 'coordinator',
    certificates: certificateParts(parameters, 'coordinator', microShards),
    spec: { parallelism: coordinators, backoffLimit: 20 },
    // It was asked to go, or another one leads: the run goes on with the next one.
    leavingCodes: [...stoppedCodes, exitCodes.superseded],
    port: control,
    morePorts: [page],
    probeS: 2,
    args: [
      'coordinator',
      `--file=${specFolder}/${rootKeys.spec}`,
      `--run=${runUrl}`,
      ...(datasetUrl === undefined ? [] : [`--dataset=${datasetUrl}`]),
      '--if-exists=resume',
      `--workers=${workers}`,
      // On loopback, too: there a forwarded port ends.
      `--listen=$(POD_IP):${ports.control},127.0.0.1:${ports.control}`,
      '--standby',
      `--lease=k8s://$(POD_NAMESPACE)/${lease}`,
      `--join-timeout=${queue === undefined ? joinTimeoutS : queuedJoinTimeoutS}`,
      // Nobody reaches it but through `kubectl port-forward`.
      `--http=127.0.0.1:${ports.page}`,
      '--json',
    ],
    resources: { requests: { cpu: '250m', memory: '256Mi' }, limits: { memory: '1Gi' } },
    volumes: [
      { name: 'spec', configMap: { name: root, items } },
      // The token is for the Lease. Mounted by hand, it is there whatever the account says.
      { name: 'token', projected: { sources: tokenSources } },
    ],
    mounts: [
      { name: 'spec', mountPath: specFolder, readOnly: true },
      { name: 'token', mountPath: tokenFolder, readOnly: true },
    ],
  });
}

const tokenFolder = '/var/run/secrets/kubernetes.io/serviceaccount';
const tokenSources = [
  { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
  { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
  {
    downwardAPI: {
      items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }],
    },
  },
];

/** How often a worker may fail, by its own fault, before its index is given up. */
const failuresPerIndex = 20;

/** The workers' Job: complete as soon as one of them has left a finished run. */
export function workerJob(
  owner: Owner,
  parameters: LaunchParameters,
  microShards: number,
): V1Job & Manifest {
  const { coordinator, workers } = objectNames(owner.name);
  const { queue, gpusPerWorker } = parameters;
  const provider = parameters.provider ?? (gpusPerWorker > 0 ? 'cuda' : undefined);
  return jobOf(owner, parameters, {
    component: 'worker',
    certificates: certificateParts(parameters, 'worker', microShards),
    spec: {
      completionMode: 'Indexed',
      completions: parameters.workers,
      parallelism: parameters.workers,
      backoffLimitPerIndex: failuresPerIndex,
      // An index whose pod still waits for a node has nothing to do any more.
      successPolicy: { rules: [{ succeededCount: 1 }] },
    },
    // The run was stopped, or the worker left in order: its index gets another pod.
    leavingCodes: stoppedCodes,
    port: exchange,
    morePorts: lanePorts(parameters),
    probeS: 5,
    args: [
      'worker',
      `--coordinator=${coordinator}:${ports.control}`,
      // Set by the Job.
      '--id=worker-$(JOB_COMPLETION_INDEX)',
      `--listen=$(POD_IP):${ports.exchange}`,
      // As many as ports are let through: not by the cores that the pod sees.
      `--lanes=${parameters.lanes ?? 1}`,
      `--drain-timeout=${drainTimeoutS}`,
      // In a queue, the coordinators may start long after the workers.
      ...(queue === undefined ? [] : [`--patience=${queuedJoinTimeoutS}`]),
      ...(provider === undefined ? [] : [`--provider=${provider}`]),
      ...(gpusPerWorker > 1 ? [`--devices=${gpusPerWorker}`] : []),
    ],
    resources: resourcesOf(parameters),
    environment: deviceVariables(gpusPerWorker),
    subdomain: workers,
  });
}

/** Ports of the lanes beside the first, behind the first one's. */
function lanePorts({ lanes = 1 }: LaunchParameters): NamedPort[] {
  return Array.from({ length: lanes - 1 }, (_, i) => {
    return { name: `lane-${i + 1}`, number: ports.exchange + i + 1 };
  });
}

function resourcesOf(parameters: LaunchParameters): V1ResourceRequirements {
  const { cpusPerWorker, memoryPerWorker, gpusPerWorker, provider } = parameters;
  const gpu = provider === 'rocm' ? 'amd.com/gpu' : 'nvidia.com/gpu';
  const gpus: Record<string, string> = gpusPerWorker > 0 ? { [gpu]: String(gpusPerWorker) } : {};
  return {
    requests: { cpu: cpusPerWorker, memory: memoryPerWorker, ...gpus },
    limits: { memory: memoryPerWorker, ...gpus },
  };
}

/** The Service that workers dial, and the headless one that gives each worker a name. */
export function servicesOf(owner: Owner): (V1Service & Manifest)[] {
  const { coordinator, workers } = objectNames(owner.name);
  const portsOf = (...of: readonly NamedPort[]) =>
    of.map(({ name, number }) => ({ name, port: number, targetPort: name, protocol: 'TCP' }));
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadataOf(owner, coordinator, 'coordinator'),
      spec: {
        selector: selectorLabels(owner.name, 'coordinator'),
        ports: portsOf(control, metricsPort, page),
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadataOf(owner, workers, 'worker'),
      spec: {
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: selectorLabels(owner.name, 'worker'),
        ports: portsOf(exchange, metricsPort),
      },
    },
  ];
}

/**
 * One worker at a time leaves a node that is drained. A number, which `lockstep scale` keeps up:
 * for pods of a Job no share and no maxUnavailable can be given.
 */
export function workerBudget(owner: Owner, workers: number): V1PodDisruptionBudget & Manifest {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: metadataOf(owner, objectNames(owner.name).worker, 'worker'),
    spec: {
      minAvailable: Math.max(0, workers - 1),
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
      selector: { matchLabels: selectorLabels(owner.name, 'worker') },
    },
  };
}
