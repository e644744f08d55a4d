// Manifests of pods that run a few lines of Node, for the tests of the agent: within the Pod
// Security profile "restricted", and quick to end.

import type { V1Container, V1JobSpec, V1PodSpec } from '@kubernetes/client-node';

/** The image whose command is node itself. */
export const nodeImage = 'node';

/** A container that runs `script` by `node -e`, and what more is given. */
export function scriptContainer(script: string, more: Partial<V1Container> = {}): V1Container {
  return {
    name: 'main',
    image: nodeImage,
    args: ['-e', script],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    ...more,
  };
}

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
export function podObject(
  name: string,
  spec: V1PodSpec,
  labels: Record<string, string> = {},
  finalizers: readonly string[] = [],
): string {
  const metadata = { name, labels, finalizers };
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec });
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
