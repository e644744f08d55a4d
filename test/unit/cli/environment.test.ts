// The environment variables, and what never gets out through a log or a message.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEnvironment } from '../../../shared/environment.js';
import { createLog } from '../../../shared/log.js';
import { OperatorError } from '../../../shared/problems.js';

test('an empty environment has the defaults', () => {
  const environment = parseEnvironment({ LOCKSTEP_NATS_URL: '', PATH: '/bin' });
  assert.deepEqual(environment, {
    s3: { endpoint: undefined },
    natsUrl: undefined,
    natsLogin: undefined,
    otlpEndpoint: undefined,
    logLevel: undefined,
    http: undefined,
    xlaPlugin: undefined,
    tlsFolder: undefined,
    isPlain: false,
    test: {
      s3Endpoint: undefined,
      natsServer: undefined,
      versitygw: undefined,
      kubernetes: undefined,
      images: undefined,
      python: undefined,
    },
  });
});

test('our own name of a variable comes before that of AWS', () => {
  const aws = { AWS_ENDPOINT_URL_S3: 'http://aws', NO_COLOR: '1' };
  const ours = parseEnvironment({ ...aws, LOCKSTEP_S3_ENDPOINT: 'https://ours:7070' });
  assert.deepEqual(ours.s3, { endpoint: 'https://ours:7070' });
  assert.equal(parseEnvironment(aws).s3.endpoint, 'http://aws');
  assert.equal(ours.isPlain, true);
});

test('every malformed variable is named, without its password', () => {
  const given = { LOCKSTEP_NATS_URL: 'http://me:secret@host', LOCKSTEP_LOG_LEVEL: 'loud' };
  assert.throws(
    () => parseEnvironment(given),
    (error) => {
      assert.ok(error instanceof OperatorError);
      assert.match(
        error.message,
        /LOCKSTEP_NATS_URL: given "http:\/\/\*\*\*@host"; allowed: a nats/,
      );
      assert.match(error.message, /LOCKSTEP_LOG_LEVEL: given "loud"; allowed: trace, debug, info/);
      return true;
    },
  );
});

test('a log line is JSON with its fields, and no secret', () => {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLog({ name: 'worker', level: 'info', fields: { worker: 'a' }, destination });
  log.debug('below the level');
  log.info('connected as AKIAABCDEFGHIJKLMNOP', {
    secretAccessKey: 'hush',
    s3: { credentials: { accessKeyId: 'hush' }, headers: { authorization: 'hush' } },
    url: 'nats://me:hush@host:4222',
    link: 'https://b/k?X-Amz-Signature=hush&x=1',
  });
  assert.equal(lines.length, 1);
  assert.ok(!/hush|AKIA/.test(lines[0] ?? ''), lines[0]);
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  assert.deepEqual(
    [line['name'], line['worker'], line['level'], line['url'], line['msg']],
    ['worker', 'a', 30, 'nats://***@host:4222', 'connected as ***'],
  );
});
