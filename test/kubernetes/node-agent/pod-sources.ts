// What pods' manifests refer to, read from the API server when a container is about to start, and
// the kubeconfig that stands for a pod's mounted service account.

import { ApiException, CoreV1Api, type KubeConfig, type V1Pod } from '@kubernetes/client-node';
import { join } from 'node:path';
import type { ControlPlane } from '../control-plane.js';
import type { Sources } from './pod-environment.js';

/** Undefined where the server has no such object. */
async function found<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof ApiException && error.code === 404) return undefined;
    throw error;
  }
}

/** The objects that a pod may refer to: those of its namespace. */
export function sourcesOf(config: KubeConfig, { metadata = {}, spec }: V1Pod): Sources {
  const api = config.makeApiClient(CoreV1Api);
  const { name: pod = '', namespace = '', uid = '' } = metadata;
  const decoded = (entries: Readonly<Record<string, string>> = {}): Record<string, Buffer> =>
    Object.fromEntries(
      Object.entries(entries).map(([key, value]) => [key, Buffer.from(value, 'base64')]),
    );
  return {
    async configMap(name) {
      const object = await found(api.readNamespacedConfigMap({ name, namespace }));
      if (object === undefined) return undefined;
      const texts = Object.entries(object.data ?? {});
      return {
        ...Object.fromEntries(texts.map(([key, text]) => [key, Buffer.from(text)])),
        ...decoded(object.binaryData),
      };
    },
    async secret(name) {
      const object = await found(api.readNamespacedSecret({ name, namespace }));
      return object === undefined ? undefined : decoded(object.data);
    },
    async token(audience, expirationSeconds = 3600) {
      const name = spec?.serviceAccountName ?? 'default';
      const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: pod, uid };
      const audiences = audience === undefined ? [] : [audience];
      const answer = await api.createNamespacedServiceAccountToken({
        ...{ name, namespace },
        body: { spec: { audiences, expirationSeconds, boundObjectRef } },
      });
      return answer.status?.token ?? '';
    },
  };
}

const tokenMount = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Variables that lead a pod with a mounted token to the API server, as that service account. A
 * process can't have a file of its own below /var/run, so a kubeconfig holds the token.
 */
export async function accountVariables(
  plane: ControlPlane,
  pod: V1Pod,
  root: string,
  sources: Sources,
): Promise<Record<string, string>> {
  const { hostname, port } = new URL(plane.server);
  const server = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
  const mounts = (pod.spec?.containers ?? []).flatMap(({ volumeMounts }) => volumeMounts ?? []);
  if (!mounts.some(({ mountPath }) => mountPath === tokenMount)) return server;
  const path = join(root, 'kubeconfig');
  await plane.writeKubeconfig(
    path,
    await sources.token(undefined, undefined),
    pod.metadata?.namespace,
  );
  return { ...server, KUBECONFIG: path };
}
