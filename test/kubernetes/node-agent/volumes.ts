// A pod's volumes as folders. Processes share one file system, so nothing can be mounted where the
// manifest says: in arguments and variables, paths below a mount point become paths of the folder.

import type {
  V1Container,
  V1KeyToPath,
  V1Pod,
  V1Volume,
  V1VolumeProjection,
} from '@kubernetes/client-node';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { entriesOf, fieldOf, NotStartable, type Sources } from './pod-environment.js';

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
