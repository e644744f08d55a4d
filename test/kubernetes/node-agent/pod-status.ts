// A pod's status from those of its containers, as the kubelet derives it: phase and conditions.
// Conditions of others (PodScheduled, DisruptionTarget) stay: the status is merged by type.

import type { V1ContainerStatus, V1PodCondition, V1PodStatus } from '@kubernetes/client-node';

/** What is known of a pod. */
export interface PodFacts {
  readonly podIp: string;
  readonly hostIp: string;
  readonly startTime: Date;
  readonly initContainers: readonly V1ContainerStatus[];
  readonly containers: readonly V1ContainerStatus[];
  /** All containers have ended and none will start again. */
  readonly isOver: boolean;
}

/** The status; conditions have no times yet. */
export function podStatus(facts: PodFacts): V1PodStatus & { conditions: V1PodCondition[] } {
  const { podIp, hostIp, startTime, initContainers, containers, isOver } = facts;
  const isInitialized = initContainers.every(({ state }) => state?.terminated?.exitCode === 0);
  const isReady = !isOver && isInitialized && containers.every(({ ready }) => ready);
  const reason = isOver ? 'PodCompleted' : isReady ? undefined : 'ContainersNotReady';
  const condition = (type: string, holds: boolean, why?: string): V1PodCondition => ({
    type,
    status: holds ? 'True' : 'False',
    // null removes what an earlier state said.
    reason: why ?? (null as unknown as string),
  });
  return {
    phase: phaseOf(facts, isInitialized),
    podIP: podIp,
    podIPs: [{ ip: podIp }],
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    startTime,
    initContainerStatuses: [...initContainers],
    containerStatuses: [...containers],
    conditions: [
      condition('PodReadyToStartContainers', true),
      condition(
        'Initialized',
        isInitialized,
        isInitialized ? undefined : 'ContainersNotInitialized',
      ),
      condition('ContainersReady', isReady, reason),
      condition('Ready', isReady, reason),
    ],
  };
}

function phaseOf({ containers, isOver }: PodFacts, isInitialized: boolean): string {
  if (isOver) {
    const isGood =
      isInitialized && containers.every(({ state }) => state?.terminated?.exitCode === 0);
    return isGood ? 'Succeeded' : 'Failed';
  }
  const hasStarted = containers.some(
    ({ state, restartCount }) => state?.waiting === undefined || restartCount > 0,
  );
  return hasStarted ? 'Running' : 'Pending';
}

/** Conditions with the time of their last change, taken from `earlier` where nothing changed. */
export function withTimes(
  conditions: readonly V1PodCondition[],
  earlier: readonly V1PodCondition[],
  now: Date,
): V1PodCondition[] {
  return conditions.map((condition) => {
    const before = earlier.find(({ type }) => type === condition.type);
    const isSame = before?.status === condition.status;
    return { ...condition, lastTransitionTime: isSame ? (before.lastTransitionTime ?? now) : now };
  });
}
