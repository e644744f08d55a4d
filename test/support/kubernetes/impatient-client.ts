// A client of the fake API server that tries again soon, and not for long.

import {
  createClusterClient,
  type ClusterClient,
} from '../../../cli/kubernetes/client/cluster-client.js';
import type { FakeApiServer } from './fake-api-server.js';

/** Waits at most 20 ms between its three attempts. */
export function impatientClient(server: FakeApiServer): ClusterClient {
  const limits = { attempts: 3, firstMs: 5, longestMs: 20 };
  return createClusterClient(server.config(), { onWait: () => {}, limits });
}
