// The variables and the command line of a container, from its manifest: values, references to
// fields, ConfigMaps and Secrets, and `$(NAME)` in them. Decides nothing about when it runs.

import type { V1Container, V1EnvVar, V1Pod } from '@kubernetes/client-node';

/** What a pod's manifest refers to; `undefined` where there is no such object. */
export interface Sources {
  configMap(name: string): Promise<Readonly<Record<string, Buffer>> | undefined>;
  secret(name: string): Promise<Readonly<Record<string, Buffer>> | undefined>;
  /** A token of the pod's service account, bound to the pod. */
  token(audience: string | undefined, expirationSeconds: number | undefined): Promise<string>;
}

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
): Promise<Readonly<Record<string, Buffer>>> {
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
