// What the API server says of manifests: strict validation of every field, and Pod Security
// admission at "restricted". Nothing is created but the namespaces they name.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { packageFile } from '../../shared/paths.js';
import type { ControlPlane } from './control-plane.js';

/** Pods outside the profile are refused, and a workload whose pods would be gets a warning. */
const strictLabels = {
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/warn': 'restricted',
};

interface Document {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

export interface ManifestCheck {
  /** What the API server refuses or warns of; empty when all is well. */
  validate(yaml: string): Promise<string[]>;
}

/** A check whose manifests, where they name no namespace, go into one of its own. */
export async function createManifestCheck(plane: ControlPlane): Promise<ManifestCheck> {
  const own = 'manifests';
  const known = new Set<string>();
  const ensure = async (namespace: string): Promise<void> => {
    if (known.has(namespace)) return;
    known.add(namespace);
    const { code } = await plane.kubectl(['get', 'namespace', namespace]);
    if (code !== 0) return plane.createNamespace(namespace, strictLabels);
    const labels = Object.entries(strictLabels).map(([key, value]) => `${key}=${value}`);
    await plane.ask(['label', 'namespace', namespace, '--overwrite', ...labels]);
  };
  await ensure(own);
  return {
    async validate(yaml) {
      const documents = parseAllDocuments(yaml).map((one) => one.toJS() as Document);
      const problems: string[] = [];
      const named = documents.map(({ kind, metadata }) =>
        kind === 'Namespace' ? metadata.name : metadata.namespace,
      );
      for (const namespace of new Set(named)) {
        if (namespace !== undefined) await ensure(namespace);
        const chosen = documents.filter((_, i) => named[i] === namespace);
        const args = ['apply', '--dry-run=server', '--validate=strict', '-n', namespace ?? own];
        const { code, stdout, stderr } = await plane.kubectl([...args, '-f', '-'], {
          input: chosen.map((one) => JSON.stringify(one)).join('\n---\n'),
        });
        problems.push(...stderr.split('\n').filter((line) => line.trim() !== ''));
        const accepted = stdout.trim().split('\n').length;
        if (code === 0 && accepted !== chosen.length)
          problems.push(`${accepted} of ${chosen.length} objects were accepted`);
      }
      return problems;
    },
  };
}

/** Folders below deploy/k8s that make something of their own, relative to the package. */
export function kustomizations(): string[] {
  const root = packageFile('deploy/k8s');
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(({ name }) => name === 'kustomization.yaml')
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => isWhole(readFileSync(path, 'utf8')))
    .map((path) => relative(packageFile('.'), dirname(path)))
    .sort();
}

/** False for a component, which is a part of others. */
function isWhole(text: string): boolean {
  return (parse(text) as { readonly kind?: string }).kind !== 'Component';
}
