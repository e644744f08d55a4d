// Certificates of one's own in Secrets, as docs/kubernetes.md says it.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeCluster } from './cluster.js';

/** Makes, or replaces, PREFIX-coordinator-tls and PREFIX-worker-tls from a folder by `tls init`. */
export async function putCertificates(
  cluster: NodeCluster,
  namespace: string,
  prefix: string,
  folder: string,
): Promise<void> {
  const names = await readdir(folder);
  for (const holder of ['coordinator', 'worker']) {
    const its = names.filter((name) => name === 'ca.crt' || name.startsWith(holder));
    const given = its.map((name) => `--from-file=${join(folder, name)}`);
    const create = ['create', 'secret', 'generic', `${prefix}-${holder}-tls`, ...given];
    const object = await cluster.ask([...create, '--dry-run=client', '-o', 'json']);
    await cluster.ask(['-n', namespace, 'apply', '-f', '-'], object);
  }
}
