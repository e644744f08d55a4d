// What a store in a bucket makes of the ways in which people's S3 servers, regions and credentials are
// not what they should be, by a server that answers as AWS does.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { prepareSdk, setNativeEnvironment } from '../../../shared/environment.js';
import { OperatorError } from '../../../shared/problems.js';
import { requireConditionalPuts } from '../../../shared/store/probe.js';
import { openStore } from '../../../shared/store/open-store.js';
import { endpointFor } from '../../../shared/store/s3-requests.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { listen } from '../../support/servers.js';
import { testFolder } from '../../support/tiny-run.js';

const folder = testFolder();
const credentials = join(folder, 'credentials');

/** Writes the credentials of the profile, as a tool for logging in does. */
const logIn = (id: string): Promise<void> =>
  writeFile(credentials, `[lockstep]\naws_access_key_id = ${id}\naws_secret_access_key = s\n`);

before(async () => {
  const config = join(folder, 'config');
  await writeFile(config, '[profile lockstep]\nregion = eu-north-1\n');
  await logIn('FIRST');
  const forced = {
    ...{ AWS_SHARED_CREDENTIALS_FILE: credentials, AWS_CONFIG_FILE: config },
    ...{ AWS_PROFILE: 'lockstep', AWS_REGION: '' },
  };
  setNativeEnvironment({ forced, defaults: {} });
  prepareSdk();
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** An answer like AWS's; that to HEAD has no body. */
function refuse(response: ServerResponse, status: number, code: string, more = ''): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  const text = `<Error><Code>${code}</Code><Message>no</Message>${more}</Error>`;
  response.end(response.req.method === 'HEAD' ? '' : text);
}

async function storeThat(t: TestContext, answer: Answer): Promise<ObjectStore> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => answer(request, response));
  });
  const endpoint = `http://127.0.0.1:${await listen(server)}`;
  const retryPolicy = { attempts: 3, baseMs: 1, capMs: 1, totalMs: 1000 };
  const store = openStore('s3://faces/run', { s3: { endpoint }, retryPolicy });
  t.after(async () => {
    await store.close();
    server.closeAllConnections();
    server.close();
  });
  return store;
}

const mistakes: [code: string, status: number, more: string, words: RegExp][] = [
  ['AuthorizationHeaderMalformed', 400, '<Region>us-west-2</Region>', /set AWS_REGION=us-west-2/],
  ['PermanentRedirect', 301, '', /the region that the bucket is in.*set AWS_REGION/],
  ['SignatureDoesNotMatch', 403, '', /the secret that belongs to the key id/],
  ['InvalidAccessKeyId', 403, '', /a key id that/],
  ['RequestTimeTooSkewed', 403, '', /a clock that is right.*set this machine's clock/],
  ['AccessDenied', 403, '', /ask for the rights/],
  ['NoSuchBucket', 404, '', /create bucket "faces"/],
];
for (const [code, status, more, words] of mistakes)
  test(`${code} is named although HEAD has no words for it`, async (t) => {
    const store = await storeThat(t, (_, response) => refuse(response, status, code, more));
    await assert.rejects(store.head('run.json'), (error) => {
      assert.ok(error instanceof OperatorError, String(error));
      assert.match(error.message, words);
      return true;
    });
  });

test('an object that is not there is asked for once more only until the bucket is known', async (t) => {
  const methods: (string | undefined)[] = [];
  const store = await storeThat(t, ({ method }, response) => {
    methods.push(method);
    refuse(response, 404, 'NoSuchKey');
  });
  assert.equal(await store.head('a'), undefined);
  assert.equal(await store.head('b'), undefined);
  assert.deepEqual(methods, ['HEAD', 'GET', 'HEAD']);
});

test('the region is that of the profile', async (t) => {
  let scope = '';
  const store = await storeThat(t, ({ headers }, response) => {
    scope = headers.authorization ?? '';
    response.end();
  });
  await store.put('a', Buffer.from('a'));
  assert.match(scope, /\/eu-north-1\/s3\/aws4_request/);
});

test('credentials that have expired are read again and tried again', async (t) => {
  const ids: string[] = [];
  await logIn('FIRST');
  const store = await storeThat(t, ({ headers }, response) => {
    const id = /Credential=(\w+)/.exec(headers.authorization ?? '')?.[1] ?? '';
    ids.push(id);
    if (id === 'SECOND') return void response.end();
    void logIn('SECOND').then(() => refuse(response, 400, 'ExpiredToken'));
  });
  await store.put('a', Buffer.from('a'));
  assert.deepEqual(ids, ['FIRST', 'SECOND']);
});

test('credentials that stay expired are named', async (t) => {
  const store = await storeThat(t, (_, response) => refuse(response, 400, 'ExpiredToken'));
  await assert.rejects(store.put('a', Buffer.from('a')), /credentials that have not expired/);
});

test('a server that replaces what must be new is refused', async (t) => {
  const methods: (string | undefined)[] = [];
  const store = await storeThat(t, ({ method }, response) => {
    methods.push(method);
    response.end();
  });
  await assert.rejects(requireConditionalPuts(store), /replaces nothing \(it ignores/);
  assert.deepEqual(methods, ['PUT', 'PUT', 'DELETE']);
});

test('a server that does not know the condition is refused, and one that does is not', async (t) => {
  const knows =
    (status: number, code: string): Answer =>
    ({ headers }, response) =>
      headers['if-none-match'] ? refuse(response, status, code) : void response.end();
  const odd = await storeThat(t, knows(501, 'NotImplemented'));
  await assert.rejects(requireConditionalPuts(odd), /replaces nothing \(it does not know/);
  await requireConditionalPuts(await storeThat(t, knows(412, 'PreconditionFailed')));
  await requireConditionalPuts(openStore(`file://${folder}/run`));
});

test('an endpoint is taken as people write it', () => {
  for (const [given, meant] of [
    ['http://h:9000/', 'http://h:9000'],
    ['http://h:9000/faces/', 'http://h:9000'],
    ['https://h/storage/v1/s3', 'https://h/storage/v1/s3'],
    ['https://h/storage/v1/s3/faces', 'https://h/storage/v1/s3'],
    ['https://faces.s3.eu-west-1.amazonaws.com', 'https://s3.eu-west-1.amazonaws.com'],
    ['http://[::1]:9000/', 'http://[::1]:9000'],
  ] as const)
    assert.equal(endpointFor(given, 'faces'), meant);
});
