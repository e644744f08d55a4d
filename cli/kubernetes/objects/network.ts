// Which pods may talk to each other; everything else is refused. A policy knows ports and
// addresses, not names: an object store that was named and NATS are let through on the ports of
// what was given, AWS's own on the addresses of the internet. Metrics are for the pods of
// namespaces that carry a label; the page is for nobody.

import type {
  V1NetworkPolicy,
  V1NetworkPolicyEgressRule,
  V1NetworkPolicyPort,
} from '@kubernetes/client-node';
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
  const { natsUrl, natsSecret } = parameters;
  const hasBus = natsUrl !== undefined || natsSecret !== undefined;
  const bus = hasBus ? [serverRule(natsUrl, natsPort)] : [];
  const store = storeRules(parameters);
  return [
    policy(owner, 'coordinator', {
      ingress: [{ _from: of('worker'), ports: [tcp(ports.control)] }, scrapers],
      egress: [names, { ports: apiPorts.map(tcp) }, ...store, ...bus],
    }),
    policy(owner, 'worker', {
      ingress: [{ _from: of('worker'), ports: [exchangePorts(parameters)] }, scrapers],
      egress: [
        { to: of('worker'), ports: [exchangePorts(parameters)] },
        { to: of('coordinator'), ports: [tcp(ports.control)] },
        names,
        ...store,
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

/** Addresses that are nobody's on the internet: https://www.rfc-editor.org/rfc/rfc6890 */
const insideRanges = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16'],
  ...['172.16.0.0/12', '192.168.0.0/16'],
];
const https = { ports: [tcp(443)] };
const block = (cidr: string, except?: string[]) => ({
  ipBlock: except === undefined ? { cidr } : { cidr, except },
});

/** Where nodes' own credentials come from, and those that EKS gives to ServiceAccounts. */
const nodeCredentials = '169.254.169.254/32';
const accountCredentials = '169.254.170.23/32';

/** The object store, and where its credentials come from. */
function storeRules(parameters: LaunchParameters): V1NetworkPolicyEgressRule[] {
  const { s3Endpoint, s3Secret, serviceAccount, serviceAccountRole } = parameters;
  const inside = parameters.privateEndpoints?.split(',') ?? [];
  const account = serviceAccount ?? serviceAccountRole;
  const isForAws = s3Endpoint === undefined || account !== undefined;
  const hasNone = (s3Secret ?? account) === undefined;
  const credentials = [
    ...(hasNone ? [block(nodeCredentials)] : []),
    ...(serviceAccount === undefined ? [] : [block(accountCredentials)]),
  ];
  return [
    ...(s3Endpoint === undefined ? [] : [serverRule(s3Endpoint, 443)]),
    ...(isForAws ? [{ to: [block('0.0.0.0/0', insideRanges)], ...https }] : []),
    ...(inside.length > 0 ? [{ to: inside.map((cidr) => block(cidr)), ...https }] : []),
    ...(credentials.length > 0 ? [{ to: credentials, ports: [tcp(80)] }] : []),
  ];
}

/** A server by its port, wherever: behind a Service an address is another than the pod's. */
function serverRule(url: string | undefined, otherwise: number): V1NetworkPolicyEgressRule {
  return { ports: [tcp(portOf(url, otherwise))] };
}

function portOf(url: string | undefined, otherwise: number): number {
  if (url === undefined) return otherwise;
  const { port, protocol } = new URL(url);
  if (port !== '') return Number(port);
  return protocol === 'http:' ? 80 : otherwise;
}
