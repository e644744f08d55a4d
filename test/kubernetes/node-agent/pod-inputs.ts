// What a pod's manifest asks for: variables and command lines from values, fields, ConfigMaps and
// Secrets, volumes as folders, and a service account. Read from the API server when a container is
// about to start.

import {
  ApiException,
  CoreV1Api,
  type KubeConfig,
  type V1Container,
  type V1EnvVar,
  type V1KeyToPath,
  type V1Pod,
  type V1Volume,
  type V1VolumeProjection,
} from '@kubernetes/client-node';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ControlPlane } from '../control-plane.js';

/** What a pod's manifest refers to; `undefined` where there is no such object. */
export type Sources = ReturnType<typeof sourcesOf>;

type Entries = Readonly<Record<string, Buffer>>;

/** Why a container can't be started yet: an object is missing, or the agent can't do that. */
export class NotStartable extends Error {}

/** Replaces `$(NAME)` as the kubelet does: `$$` is a dollar, and an unknown name stays. */
export function expand(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([\w.-]+)\)/g, (found, name: string | undefined) =>
    name === undefined ? '$' : (values[name] ?? found),
  );
}

/** A field of a pod by its path, as `fieldRef` names it. */
export function fieldOf(pod: V1Pod, path: string): string {
  const { metadata = {}, spec, status } = pod;
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) {
    const map = keyed[1] === 'labels' ? metadata.labels : metadata.annotations;
    return map?.[keyed[2] ?? ''] ?? '';
  }
  const list = (map: Record<string, string> | undefined): string =>
    Object.entries(map ?? {})
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      .join('\n');
  const fields: Readonly<Record<string, string | undefined>> = {
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace,
    'metadata.uid': metadata.uid,
    'metadata.labels': list(metadata.labels),
    'metadata.annotations': list(metadata.annotations),
    'spec.nodeName': spec?.nodeName,
    'spec.serviceAccountName': spec?.serviceAccountName,
    'status.podIP': status?.podIP,
    'status.podIPs': status?.podIP,
    'status.hostIP': status?.hostIP,
  };
  const value = fields[path];
  if (value === undefined) throw new NotStartable(`the agent knows no field ${path}`);
  return value;
}

/** Variables of a container in the kubelet's order: later ones see and replace earlier ones. */
export async function environmentOf(
  pod: V1Pod,
  container: V1Container,
  sources: Sources,
): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const found = await entriesOf(configMapRef, secretRef, sources);
    for (const [key, value] of Object.entries(found)) values[`${prefix}${key}`] = value.toString();
  }
  for (const variable of container.env ?? []) {
    const value = await valueOf(pod, variable, values, sources);
    if (value !== undefined) values[variable.name] = value;
  }
  return values;
}

interface Reference {
  readonly name?: string;
  readonly optional?: boolean;
}

/** The entries of a ConfigMap or a Secret; none where it is missing and optional. */
export async function entriesOf(
  configMap: Reference | undefined,
  secret: Reference | undefined,
  sources: Sources,
): Promise<Entries> {
  const { name = '', optional = false } = configMap ?? secret ?? {};
  const found = await (configMap !== undefined ? sources.configMap(name) : sources.secret(name));
  if (found === undefined && !optional)
    throw new NotStartable(
      `${configMap !== undefined ? 'configmap' : 'secret'} "${name}" not found`,
    );
  return found ?? {};
}

async function valueOf(
  pod: V1Pod,
  { name, value, valueFrom }: V1EnvVar,
  earlier: Readonly<Record<string, string>>,
  sources: Sources,
): Promise<string | undefined> {
  if (valueFrom === undefined) return expand(value ?? '', earlier);
  const { fieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  if (fieldRef !== undefined) return fieldOf(pod, fieldRef.fieldPath);
  const reference = configMapKeyRef ?? secretKeyRef;
  if (reference === undefined) throw new NotStartable(`${name}: the agent can't resolve this`);
  const found = (await entriesOf(configMapKeyRef, secretKeyRef, sources))[reference.key];
  if (found === undefined && reference.optional !== true)
    throw new NotStartable(`couldn't find key ${reference.key} in ${reference.name}`);
  return found?.toString();
}

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
export function sourcesOf(config: KubeConfig, { metadata = {}, spec }: V1Pod) {
  const api = config.makeApiClient(CoreV1Api);
  const { name: pod = '', namespace = '', uid = '' } = metadata;
  const decoded = (entries: Readonly<Record<string, string>> = {}): Record<string, Buffer> =>
    Object.fromEntries(
      Object.entries(entries).map(([key, value]) => [key, Buffer.from(value, 'base64')]),
    );
  return {
    async configMap(name: string): Promise<Entries | undefined> {
      const object = await found(api.readNamespacedConfigMap({ name, namespace }));
      if (object === undefined) return undefined;
      const texts = Object.entries(object.data ?? {});
      return {
        ...Object.fromEntries(texts.map(([key, text]) => [key, Buffer.from(text)])),
        ...decoded(object.binaryData),
      };
    },
    async secret(name: string): Promise<Entries | undefined> {
      const object = await found(api.readNamespacedSecret({ name, namespace }));
      return object === undefined ? undefined : decoded(object.data);
    },
    /** A token of the pod's service account, bound to the pod. */
    async token(audience?: string, expirationSeconds = 3600): Promise<string> {
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
  await plane.writeKubeconfig(path, await sources.token(), pod.metadata?.namespace);
  return { ...server, KUBECONFIG: path };
}

type Files = Readonly<Record<string, Buffer | string>>;

/** A mount point of a container, and the folder that stands for it. */
export interface Mount {
  readonly mountPath: string;
  readonly folder: string;
}

/** Makes the folders of all volumes below `root`, with what is to be in them. */
export async function makeVolumes(pod: V1Pod, root: string, sources: Sources): Promise<void> {
  for (const volume of pod.spec?.volumes ?? []) {
    const folder = join(root, 'volumes', volume.name);
    await mkdir(folder, { recursive: true });
    for (const [path, content] of Object.entries(await filesOf(pod, volume, sources))) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
  }
}

async function filesOf(pod: V1Pod, volume: V1Volume, sources: Sources): Promise<Files> {
  const { emptyDir, configMap, secret, projected, downwardAPI } = volume;
  if (emptyDir !== undefined) return {};
  if (projected !== undefined) {
    const parts = projected.sources ?? [];
    const files = await Promise.all(parts.map((part) => projection(pod, part, sources)));
    return Object.assign({}, ...files) as Files;
  }
  const part: V1VolumeProjection = {
    ...(configMap === undefined ? {} : { configMap }),
    ...(downwardAPI === undefined ? {} : { downwardAPI }),
    ...(secret === undefined
      ? {}
      : { secret: { ...secret, ...(secret.secretName && { name: secret.secretName }) } }),
  };
  if (Object.keys(part).length === 0)
    throw new NotStartable(`volume ${volume.name}: the agent knows no such kind`);
  return projection(pod, part, sources);
}

async function projection(pod: V1Pod, part: V1VolumeProjection, sources: Sources): Promise<Files> {
  const { configMap, secret, downwardAPI, serviceAccountToken } = part;
  if (serviceAccountToken !== undefined) {
    const { path, audience, expirationSeconds } = serviceAccountToken;
    return { [path]: await sources.token(audience, expirationSeconds) };
  }
  if (downwardAPI !== undefined)
    return Object.fromEntries(
      (downwardAPI.items ?? []).map(({ path, fieldRef }) => [
        path,
        fieldOf(pod, fieldRef?.fieldPath ?? ''),
      ]),
    );
  const entries = await entriesOf(configMap, secret, sources);
  return chosen(entries, (configMap ?? secret)?.items);
}

function chosen(entries: Files, items: readonly V1KeyToPath[] | undefined): Files {
  if (items === undefined) return entries;
  return Object.fromEntries(
    items.map(({ key, path }) => {
      const content = entries[key];
      if (content === undefined) throw new NotStartable(`references non-existent key: ${key}`);
      return [path, content];
    }),
  );
}

/** The mount points of a container, the longest paths first. */
export function mountsOf(container: V1Container, root: string): Mount[] {
  return (container.volumeMounts ?? [])
    .map(({ name, mountPath, subPath = '' }) => ({
      mountPath: mountPath.replace(/\/+$/, ''),
      folder: join(root, 'volumes', name, subPath),
    }))
    .sort((a, b) => b.mountPath.length - a.mountPath.length);
}

/** Replaces paths at or below a mount point; a mount point inside a longer path is left alone. */
export function rewritePaths(text: string, mounts: readonly Mount[]): string {
  if (mounts.length === 0) return text;
  const points = mounts.map(({ mountPath }) => mountPath.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`(?<![\\w./-])(${points.join('|')})(?![\\w.-])`, 'g');
  return text.replace(
    pattern,
    (found) => mounts.find(({ mountPath }) => mountPath === found)?.folder ?? found,
  );
}
