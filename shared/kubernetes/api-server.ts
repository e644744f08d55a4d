// The way to a cluster's API server for both programs: which cluster is meant, the library's client
// with a limit on each request, and what a failed request means.

import {
  ApiException,
  createConfiguration,
  KubeConfig,
  ServerConfiguration,
  type Configuration,
} from '@kubernetes/client-node';
import { OperatorError, messageOf } from '../problems.js';
import { refusalOf } from './refusal.js';

export interface ClusterChoice {
  /** A kubeconfig; $KUBECONFIG, ~/.kube/config or the pod's service account when not given. */
  readonly path?: string | undefined;
  /** One of its contexts; the current one when not given. */
  readonly context?: string | undefined;
}

/** The configuration of the cluster that is meant; an OperatorError where that is not clear. */
export function loadCluster({ path, context }: ClusterChoice): KubeConfig {
  const config = new KubeConfig();
  try {
    if (path === undefined) config.loadFromDefault();
    else config.loadFromFile(path);
  } catch (error) {
    throw noCluster('KUBECONFIG', path, messageOf(error));
  }
  if (context !== undefined) {
    const contexts = config.getContexts().map(({ name }) => name);
    if (!contexts.includes(context))
      throw noCluster('--context', context, `there are: ${contexts.join(', ') || 'none'}`);
    config.setCurrentContext(context);
  }
  const server = config.getCurrentCluster()?.server;
  if (server === undefined)
    throw noCluster('KUBECONFIG', path, 'the current context names no cluster');
  // What the library falls back to.
  if (server === 'http://localhost:8080') throw noCluster('KUBECONFIG', path, 'there is none');
  return config;
}

function noCluster(key: string, given: string | undefined, hint: string): OperatorError {
  const allowed =
    'a kubeconfig in $KUBECONFIG or ~/.kube/config, with a context for the cluster, ' +
    'or a pod with a service account token';
  return new OperatorError('which cluster is meant is not clear', [{ key, given, allowed, hint }]);
}

/**
 * What the library's typed APIs are constructed with. A request ends with an error after
 * `requestMs`, the body of its answer included: the library itself waits for ever.
 */
export function apiConfiguration(config: KubeConfig, requestMs: number): Configuration {
  return createConfiguration({
    baseServer: new ServerConfiguration(serverOf(config), {}),
    authMethods: { default: config },
    promiseMiddleware: [
      {
        pre: (request) => {
          request.setSignal(AbortSignal.timeout(requestMs));
          return Promise.resolve(request);
        },
        post: (response) => Promise.resolve(response),
      },
    ],
  });
}

/** Address of the API server, without a slash at its end. */
export function serverOf(config: KubeConfig): string {
  return (config.getCurrentCluster()?.server ?? '').replace(/\/+$/, '');
}

/** The error of a failed request: a ClusterError where the server has answered. */
export function requestError(error: unknown, requestMs: number): Error {
  if (error instanceof ApiException)
    return refusalOf(error.code, error.headers, typeof error.body === 'string' ? error.body : '');
  if (!(error instanceof Error)) return new Error(String(error).slice(0, 300));
  if (error.name === 'AbortError' || error.name === 'TimeoutError')
    return new Error(`no answer within ${requestMs / 1000} s`);
  // The library's fetch puts the address before the reason.
  error.message = error.message.replace(/^request to \S+ failed, reason: /, '').slice(0, 300);
  return error;
}
