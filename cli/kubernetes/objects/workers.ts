// The workers of a run: an Indexed Job whose pods are replaced under the same index, the headless
// Service that names them, and how many of them may be away at a time.

import type {
  V1Container,
  V1Job,
  V1PodDisruptionBudget,
  V1PodSpec,
  V1ResourceRequirements,
  V1Service,
} from '@kubernetes/client-node';
import { exitCodes } from '../../../shared/exit-codes.js';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames, ports, selectorLabels } from '../names.js';
import { jobOf } from './job.js';
import { metadataOf, type Manifest, type Owner } from './object.js';
import {
  containerSecurity,
  credentialsOf,
  drainTimeoutS,
  environmentOf,
  podBase,
  queuedJoinTimeoutS,
} from './pod.js';

/** How often a worker may fail, by its own fault, before its index is given up. */
const failuresPerIndex = 20;

/** The workers' Job: complete as soon as one of them was told that the run is finished. */
export function workerJob(owner: Owner, parameters: LaunchParameters): V1Job & Manifest {
  return jobOf(owner, {
    name: objectNames(owner.name).worker,
    component: 'worker',
    queue: parameters.queue,
    spec: {
      completionMode: 'Indexed',
      completions: parameters.workers,
      parallelism: parameters.workers,
      backoffLimitPerIndex: failuresPerIndex,
      // Never two pods of one index: the second would take the place of the first.
      podReplacementPolicy: 'Failed',
      podFailurePolicy: { rules: failureRules() },
      // An index whose pod still waits for a node has nothing to do any more.
      successPolicy: { rules: [{ succeededCount: 1 }] },
    },
    pod: podSpec(owner, parameters),
  });
}

/** 3 and 5: the run was stopped, or it left in order. Its index gets another pod. */
function failureRules() {
  const onExitCodes = (...values: number[]) => ({
    onExitCodes: { containerName: 'worker', operator: 'In', values },
  });
  return [
    { action: 'FailJob', ...onExitCodes(exitCodes.configuration) },
    { action: 'Ignore', ...onExitCodes(exitCodes.stopped, exitCodes.drained) },
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
  ];
}

function podSpec(owner: Owner, parameters: LaunchParameters): V1PodSpec {
  const { worker, workers } = objectNames(owner.name);
  return {
    ...podBase(container(owner, parameters)),
    serviceAccountName: parameters.serviceAccount ?? worker,
    subdomain: workers,
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selectorLabels(owner.name, 'worker') },
      },
    ],
  };
}

function container(owner: Owner, parameters: LaunchParameters): V1Container {
  return {
    name: 'worker',
    image: parameters.image,
    args: workerArgs(owner, parameters),
    env: environmentOf(parameters),
    envFrom: credentialsOf(parameters),
    ports: [{ name: 'exchange', containerPort: ports.exchange, protocol: 'TCP' }],
    readinessProbe: { tcpSocket: { port: 'exchange' }, periodSeconds: 5 },
    resources: resourcesOf(parameters),
    securityContext: containerSecurity,
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
  };
}

/** JOB_COMPLETION_INDEX is set by the Job. */
function workerArgs({ name }: Owner, parameters: LaunchParameters): string[] {
  const { queue, gpusPerWorker } = parameters;
  const provider = parameters.provider ?? (gpusPerWorker > 0 ? 'cuda' : undefined);
  return [
    'worker',
    `--coordinator=${objectNames(name).coordinator}:${ports.control}`,
    '--id=worker-$(JOB_COMPLETION_INDEX)',
    `--listen=$(POD_IP):${ports.exchange}`,
    `--drain-timeout=${drainTimeoutS}`,
    // In a queue, the coordinators may start long after the workers.
    ...(queue === undefined ? [] : [`--patience=${queuedJoinTimeoutS}`]),
    ...(provider === undefined ? [] : [`--provider=${provider}`]),
  ];
}

function resourcesOf(parameters: LaunchParameters): V1ResourceRequirements {
  const { cpusPerWorker, memoryPerWorker, gpusPerWorker } = parameters;
  const gpus: Record<string, string> =
    gpusPerWorker > 0 ? { 'nvidia.com/gpu': String(gpusPerWorker) } : {};
  return {
    requests: { cpu: cpusPerWorker, memory: memoryPerWorker, ...gpus },
    limits: { memory: memoryPerWorker, ...gpus },
  };
}

/** Gives each worker a name; they find each other by the addresses the coordinator hands out. */
export function workersService(owner: Owner): V1Service & Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(owner, objectNames(owner.name).workers, 'worker'),
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: selectorLabels(owner.name, 'worker'),
      ports: [{ name: 'exchange', port: ports.exchange, targetPort: 'exchange', protocol: 'TCP' }],
    },
  };
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
