// Which pods may talk to each other; everything else is refused. A policy knows ports, not names:
// the object store and NATS are let through on the ports of the addresses that were given. Metrics
// are for the pods of namespaces that carry a label; the page is for nobody.

import type { V1NetworkPolicy, V1NetworkPolicyPort } from '@kubernetes/client-node';
import type { LaunchParameters } from '../launch-parameters.js';
import { metricsLabel, objectNames, ports, selectorLabels, type Component } from '../names.js';
import { metadataOf, type Manifest, type Owner } from './root.js';

type Rules = Pick<NonNullable<V1NetworkPolicy['spec']>, 'ingress' | 'egress'>;

const tcp = (port: number): V1NetworkPolicyPort => ({ protocol: 'TCP', port });
/** The ports of the lanes of an exchange, in a row. */
const exchangePorts = ({ lanes = 1 }: LaunchParameters): V1NetworkPolicyPort => {
  const last = ports.exchange + lanes - 1;
  return { ...tcp(ports.exchange), ...(lanes === 1 ? {} : { endPort: last }) };
};
const names = { ports: [{ protocol: 'UDP', port: 53 }, tcp(53)] };
/** Of the API server, behind its Service and on its own. */
const apiPorts = [443, 6443];
const natsPort = 4222;

/** The policies of a run's pods. */
export function networkPolicies(owner: Owner, parameters: LaunchParameters): Manifest[] {
  const of = (component: Component) => [
    { podSelector: { matchLabels: selectorLabels(owner.name, component) } },
  ];
  const scrapers = {
    _from: [{ namespaceSelector: { matchLabels: { [metricsLabel]: 'true' } } }],
    ports: [tcp(ports.metrics)],
  };
  const store = portOf(parameters.s3Endpoint, 443);
  const { natsUrl, natsSecret } = parameters;
  const hasBus = natsUrl !== undefined || natsSecret !== undefined;
  const bus = hasBus ? [portOf(natsUrl, natsPort)] : [];
  const servers = [...new Set([store, ...apiPorts, ...bus])].sort((a, b) => a - b);
  return [
    policy(owner, 'coordinator', {
      ingress: [{ _from: of('worker'), ports: [tcp(ports.control)] }, scrapers],
      egress: [names, { ports: servers.map(tcp) }],
    }),
    policy(owner, 'worker', {
      ingress: [{ _from: of('worker'), ports: [exchangePorts(parameters)] }, scrapers],
      egress: [
        { to: of('worker'), ports: [exchangePorts(parameters)] },
        { to: of('coordinator'), ports: [tcp(ports.control)] },
        names,
        { ports: [tcp(store)] },
      ],
    }),
  ];
}

function policy(owner: Owner, component: Component, rules: Rules): V1NetworkPolicy & Manifest {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: metadataOf(owner, objectNames(owner.name)[component], component),
    spec: {
      podSelector: { matchLabels: selectorLabels(owner.name, component) },
      policyTypes: ['Ingress', 'Egress'],
      ...rules,
    },
  };
}

function portOf(url: string | undefined, otherwise: number): number {
  if (url === undefined) return otherwise;
  const { port, protocol } = new URL(url);
  if (port !== '') return Number(port);
  return protocol === 'http:' ? 80 : otherwise;
}
