// Reads the Kubernetes manifests as the tests look at them: every document of the base, and the
// parts of a Job that matter to Lockstep. The cluster's own schemas are not checked here.

import { readFileSync } from 'node:fs';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { packageFile } from '../../../shared/environment.js';

/** The base's folder, relative to the package. */
export const base = 'deploy/k8s/base';

const kustomizationSchema = z.object({
  resources: z.array(z.string()).min(1),
  configMapGenerator: z.array(
    z.object({
      name: z.string(),
      files: z.array(z.string()).default([]),
      literals: z.array(z.string()).default([]),
    }),
  ),
});

const port = z.union([z.int(), z.string()]);
const reference = z.object({ name: z.string(), optional: z.boolean().optional() });

const containerSchema = z.object({
  name: z.string(),
  image: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  env: z.array(z.object({ name: z.string() })).default([]),
  envFrom: z
    .array(z.object({ configMapRef: reference.optional(), secretRef: reference.optional() }))
    .default([]),
  ports: z.array(z.object({ name: z.string(), containerPort: z.int() })).default([]),
  resources: z.object({
    requests: z.record(z.string(), z.string()),
    limits: z.record(z.string(), z.string()),
  }),
  readinessProbe: z.unknown().optional(),
  securityContext: z.unknown().optional(),
  volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })).default([]),
});

const podSchema = z.object({
  restartPolicy: z.string(),
  serviceAccountName: z.string(),
  automountServiceAccountToken: z.boolean(),
  topologySpreadConstraints: z.array(z.object({ topologyKey: z.string() })).default([]),
  subdomain: z.string().optional(),
  terminationGracePeriodSeconds: z.int(),
  securityContext: z.record(z.string(), z.unknown()),
  initContainers: z.array(containerSchema).default([]),
  containers: z.array(containerSchema).length(1),
  volumes: z.array(z.object({ name: z.string() }).loose()),
});

const labels = z.record(z.string(), z.string());

const manifestSchema = z.object({
  kind: z.string(),
  metadata: z.object({ name: z.string(), labels }),
  spec: z.unknown().optional(),
});

/** A Job, as far as the tests look at it. */
export const jobSchema = z.object({
  completionMode: z.string().default('NonIndexed'),
  completions: z.int().optional(),
  parallelism: z.int(),
  backoffLimit: z.int().optional(),
  backoffLimitPerIndex: z.int().optional(),
  podReplacementPolicy: z.string(),
  podFailurePolicy: z.unknown().optional(),
  template: z.object({ metadata: z.object({ labels }), spec: podSchema }),
});

const serviceSchema = z.object({
  clusterIP: z.string().optional(),
  selector: labels,
  ports: z.array(z.object({ name: z.string(), port: z.int(), targetPort: port })),
});

const selector = z.strictObject({ podSelector: z.strictObject({ matchLabels: labels }) });
const openPorts = z.array(z.strictObject({ protocol: z.string(), port: z.int() })).min(1);
const policySchema = z.object({
  podSelector: z.strictObject({ matchLabels: labels }),
  policyTypes: z.array(z.string()),
  ingress: z.array(z.strictObject({ from: z.array(selector), ports: openPorts })),
  egress: z.array(z.strictObject({ to: z.array(selector).optional(), ports: openPorts })),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Job = z.infer<typeof jobSchema>;
export type Container = z.infer<typeof containerSchema>;

/** The base's kustomization. */
export function readKustomization(): z.infer<typeof kustomizationSchema> {
  return kustomizationSchema.parse(parse(readBase('kustomization.yaml')));
}

/** Text of a file of the base. */
export function readBase(file: string): string {
  return readFileSync(packageFile(`${base}/${file}`), 'utf8');
}

/** Every document of the files that the kustomization lists, in their order. */
export function readManifests(): Manifest[] {
  return readKustomization().resources.flatMap((file) =>
    parseAllDocuments(readBase(file)).map((document) => {
      if (document.errors.length > 0) throw new Error(`${file}: ${String(document.errors[0])}`);
      return manifestSchema.parse(document.toJS());
    }),
  );
}

function specOf<T>(kind: string, name: string, schema: z.ZodType<T>): T {
  const found = readManifests().filter((one) => one.kind === kind && one.metadata.name === name);
  if (found.length !== 1) throw new Error(`${found.length} of ${kind} ${name}`);
  return schema.parse(found[0]?.spec);
}

/** A Job by its name; throws unless there is exactly one. */
export const readJob = (name: string): Job => specOf('Job', name, jobSchema);

/** A Service by its name; throws unless there is exactly one. */
export const readService = (name: string) => specOf('Service', name, serviceSchema);

/** A NetworkPolicy by its name; throws unless there is exactly one. */
export const readPolicy = (name: string) => specOf('NetworkPolicy', name, policySchema);

/** The only container of a Job's pods. */
export function containerOf(job: Job): Container {
  const [container] = job.template.spec.containers;
  if (container === undefined) throw new Error('a pod has a container');
  return container;
}
