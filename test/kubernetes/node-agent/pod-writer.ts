// Writes a pod's status to the API server, one write at a time and always the newest, until it is
// taken; and removes the pod when its processes are gone. Stops when the pod is another one.

import {
  ApiException,
  PatchStrategy,
  setHeaderOptions,
  type CoreV1Api,
  type V1Pod,
  type V1PodStatus,
} from '@kubernetes/client-node';
import { setTimeout as sleep } from 'node:timers/promises';

export interface PodWriter {
  write(status: V1PodStatus): void;
  /** Resolves when the last status was taken, or there is nobody to take it. */
  settled(): Promise<void>;
  /** Deletes the object, which the API server keeps until then. */
  remove(): Promise<void>;
  close(): void;
}

/** Pause after a write that failed. */
const retryMs = 200;

function isAnotherPod(error: unknown): boolean {
  if (!(error instanceof ApiException)) return false;
  return error.code === 404 || (error.code === 409 && /recondition/.test(String(error.body)));
}

/** A writer for the pod of that uid. */
export function createPodWriter(api: CoreV1Api, { metadata = {} }: V1Pod): PodWriter {
  const { name = '', namespace = '', uid = '' } = metadata;
  const merge = setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch);
  let next: V1PodStatus | undefined;
  let writing: Promise<void> | undefined;
  let isClosed = false;
  /** Repeats until it was done, or the pod is gone or another one. */
  const persist = async (action: () => Promise<unknown>): Promise<void> => {
    while (!isClosed) {
      try {
        await action();
        return;
      } catch (error) {
        if (isAnotherPod(error)) isClosed = true;
        else await sleep(retryMs);
      }
    }
  };
  const drain = async (): Promise<void> => {
    while (next !== undefined && !isClosed)
      await persist(async () => {
        const body = { metadata: { uid }, status: next };
        next = undefined;
        try {
          await api.patchNamespacedPodStatus({ name, namespace, body }, merge);
        } catch (error) {
          next ??= body.status;
          throw error;
        }
      });
    writing = undefined;
  };
  return {
    write(status) {
      next = status;
      writing ??= drain();
    },
    settled: async () => writing,
    remove: () =>
      persist(() =>
        api.deleteNamespacedPod({
          ...{ name, namespace },
          body: { gracePeriodSeconds: 0, preconditions: { uid } },
        }),
      ),
    close: () => void (isClosed = true),
  };
}
