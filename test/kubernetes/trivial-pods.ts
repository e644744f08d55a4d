// Manifests of pods that run a few lines of Node: within the Pod Security profile "restricted".

import type { V1Container, V1JobSpec, V1PodSpec } from '@kubernetes/client-node';

/** A container that runs `script` by `node -e`, and what more is given. */
export function scriptContainer(script: string, more: Partial<V1Container> = {}): V1Container {
  return {
    name: 'main',
    image: 'node',
    command: ['node'],
    args: ['-e', script],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    ...more,
  };
}

/** The script of a container that runs until it is stopped. */
export const idle = "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000)";

/** A pod of that container, which is started once. */
export function podSpec(container: V1Container, more: Partial<V1PodSpec> = {}): V1PodSpec {
  return {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 20,
    securityContext: {
      ...{ runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    },
    containers: [container],
    ...more,
  };
}

/** A Pod object as JSON for kubectl. */
export function podObject(name: string, spec: V1PodSpec): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec });
}

/** An Indexed Job as JSON for kubectl; its pods have the label `job-name`. */
export function jobObject(name: string, pod: V1PodSpec, more: Partial<V1JobSpec> = {}): string {
  return JSON.stringify({
    ...{ apiVersion: 'batch/v1', kind: 'Job', metadata: { name } },
    spec: {
      completionMode: 'Indexed',
      podReplacementPolicy: 'Failed',
      template: { spec: pod },
      ...more,
    },
  });
}
