// Looks at the Secrets of --tls-secret before a launch, as far as the account may read them: what
// pods would find out later and one by one. Pods get a given Secret as a whole, so it must not hold
// the keys of others.

import type { V1Secret } from '@kubernetes/client-node';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { messageOf, OperatorError, type Problem } from '../../../shared/problems.js';
import { authorityFile, certificateName, type Holder } from '../../../shared/tls/certificates.js';
import { identitiesOf, identityText, identityUri, mayBe } from '../../../shared/tls/identity.js';
import type { ClusterClient } from '../client/cluster-client.js';
import type { LaunchParameters } from '../launch-parameters.js';
import type { Component } from '../names.js';
import { certificateSecrets, identityIn, workerId } from '../objects/certificates.js';
import { readSecret } from './run-secret.js';

/** Of many workers with the same mistake, the first few are enough. */
const mostProblems = 5;

/** Throws one OperatorError with what is wrong with the Secrets that were given, if any were. */
export async function requireGivenSecrets(
  client: ClusterClient,
  parameters: LaunchParameters,
): Promise<void> {
  const secrets = certificateSecrets(parameters);
  if (secrets === undefined || parameters.tlsSecret === undefined) return;
  const problems: Problem[] = [];
  for (const component of ['coordinator', 'worker'] as const) {
    const name = secrets[component];
    const there = await readSecret(client, parameters.namespace, name);
    if (there === 'hidden') continue;
    const wrong =
      there === undefined ? ['a Secret that is there'] : faults(there, component, parameters);
    problems.push(...wrong.map((allowed) => problemOf(name, component, allowed)));
  }
  if (problems.length === 0) return;
  throw new OperatorError('the run can not be launched', problems.slice(0, mostProblems));
}

function problemOf(name: string, component: Component, allowed: string): Problem {
  const hint = `what pods of the ${component}s get; see docs/kubernetes.md, Certificates`;
  return { key: '--tls-secret', given: name, allowed, hint };
}

/** What a Secret should have and has not, for the pods of a program. */
function faults(secret: V1Secret, component: Component, parameters: LaunchParameters): string[] {
  const data = new Map(
    Object.entries(secret.data ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64')]),
  );
  const holders = holdersOf(component, parameters);
  const names = holders.map((holder) =>
    data.has(`${certificateName(holder)}.crt`) ? certificateName(holder) : 'tls',
  );
  const own = component === 'worker' ? /^(tls|worker-.+)\.key$/ : /^(tls|coordinator)\.key$/;
  const others = [...data.keys()].filter((key) => key.endsWith('.key') && !own.test(key));
  return [
    ...(data.has(authorityFile) ? [] : [`one with ${authorityFile}`]),
    ...others.slice(0, 1).map((key) => `one without ${key}: the pods of others must not have it`),
    ...holders.flatMap((holder, i) => holderFaults(data, holder, names[i] ?? '', parameters)),
  ];
}

function holdersOf(component: Component, { workers }: LaunchParameters): Holder[] {
  if (component === 'coordinator') return [{ role: component }];
  return Array.from({ length: workers }, (_, i) => ({ role: component, worker: workerId(i) }));
}

function holderFaults(
  data: ReadonlyMap<string, Buffer>,
  holder: Holder,
  name: string,
  parameters: LaunchParameters,
): string[] {
  const [cert, key] = [data.get(`${name}.crt`), data.get(`${name}.key`)];
  const own = certificateName(holder);
  if (cert === undefined || key === undefined)
    return [`one with ${own}.crt and ${own}.key, or tls.crt and tls.key`];
  try {
    const leaf = new X509Certificate(cert);
    if (!leaf.checkPrivateKey(createPrivateKey(key)))
      return [`in ${name}.key the key of ${name}.crt`];
    if (Date.parse(leaf.validTo) <= Date.now())
      return [`in ${name}.crt a certificate that has not ended (${leaf.validTo})`];
    const held = identitiesOf(leaf.subjectAltName);
    const wanted = identityIn(parameters, holder);
    if (mayBe(held, wanted)) return [];
    return [`in ${name}.crt the name ${identityUri(wanted)}; it is of ${identityText(held)}`];
  } catch (error) {
    return [`PEM in ${name}.crt and ${name}.key (${messageOf(error)})`];
  }
}
