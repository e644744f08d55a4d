// What the Jobs of both programs have in common: whose they are, their pods, and the queue that
// they wait in.

import type { V1Job, V1JobSpec, V1PodSpec } from '@kubernetes/client-node';
import { labelsOf, type Component } from '../names.js';
import { metadataOf, type Manifest, type Owner } from './object.js';

export interface JobOptions {
  readonly name: string;
  readonly component: Component;
  /** A Kueue LocalQueue; undefined: the Job starts at once. */
  readonly queue: string | undefined;
  readonly spec: Omit<V1JobSpec, 'template' | 'suspend'>;
  readonly pod: V1PodSpec;
}

/** A Job of a run. */
export function jobOf(owner: Owner, options: JobOptions): V1Job & Manifest {
  const { name, component, queue, spec, pod } = options;
  const metadata = metadataOf(owner, name, component);
  const labels: Record<string, string> =
    queue === undefined ? {} : { 'kueue.x-k8s.io/queue-name': queue };
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { ...metadata, labels: { ...metadata.labels, ...labels } },
    spec: {
      ...(queue === undefined ? {} : { suspend: true }),
      ...spec,
      template: { metadata: { labels: labelsOf(owner.name, component) }, spec: pod },
    },
  };
}
