// Objects of the fake API server: JSON merge patches, selectors, and refusals as Status objects.

import type { ServerResponse } from 'node:http';

/** An object as it lies in the server. */
export interface FakeObject {
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly uid: string }[];
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}

/** RFC 7386. */
export function mergePatch(before: unknown, change: unknown): unknown {
  if (!isRecord(change)) return change;
  const merged: Record<string, unknown> = isRecord(before) ? { ...before } : {};
  for (const [key, value] of Object.entries(change))
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether an object is meant: labels that must be equal, and metadata.name. */
export function selects(query: URLSearchParams, { metadata }: FakeObject): boolean {
  const pairs = (key: string) =>
    (query.get(key) ?? '')
      .split(',')
      .filter((pair) => pair !== '')
      .map((pair) => pair.split('='));
  return (
    pairs('labelSelector').every(([key = '', value]) => metadata.labels?.[key] === value) &&
    pairs('fieldSelector').every(
      ([key, value]) => key === 'metadata.name' && metadata.name === value,
    )
  );
}

/** Answers with a Status. */
export function sendStatus(
  response: ServerResponse,
  code: number,
  reason: string,
  more: { readonly headers?: Record<string, string>; readonly details?: object } = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...more.headers });
  response.end(
    JSON.stringify({
      kind: 'Status',
      code,
      reason,
      message: `${reason}, says the fake`,
      details: more.details,
    }),
  );
}
