import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { describe, it, test } from 'node:test';
import { runUrl } from '../../../cli/stores.js';
import { OperatorError } from '../../../shared/problems.js';
import { compareKeys, keyFault, StoreUnavailable } from '../../../shared/store/store.js';
import { s3Failure } from '../../../shared/store/s3-failures.js';
import { parseFolder, parsePlaceOrPath, parseStoreUrl } from '../../../shared/store/places.js';

describe('a store url', () => {
  it('names a folder or a place in a bucket', () => {
    const file = (url: string, shown: string, folder: string): void =>
      assert.deepEqual(parseStoreUrl(url), { kind: 'file', url: shown, folder });
    file('file://runs/x/', `file://${resolve('runs/x')}`, resolve('runs/x'));
    file('file:///data/a b', 'file:///data/a b', '/data/a b');
    file('file://.', `file://${resolve('.')}`, resolve('.'));
    file('file://../x', `file://${resolve('../x')}`, resolve('../x'));
    const s3 = (url: string, shown: string, bucket: string, prefix: string): void =>
      assert.deepEqual(parseStoreUrl(url), { kind: 's3', url: shown, bucket, prefix });
    s3('s3://faces', 's3://faces', 'faces', '');
    s3('s3://faces/', 's3://faces', 'faces', '');
    s3('s3://faces/a/b//', 's3://faces/a/b', 'faces', 'a/b/');
  });

  const bad: [string, RegExp][] = [
    ['faces', /s3:\/\/bucket\/prefix/],
    ['', /s3:\/\/bucket\/prefix/],
    ['https://host/faces', /LOCKSTEP_S3_ENDPOINT/],
    ['gs://bucket/faces', /s3:\/\/bucket\/prefix/],
    ['S3://bucket/faces', /did you mean s3:\/\/bucket\/faces\?/],
    ['S3://AKIAIOSFODNN7EXAMPLE:sEcrEt@faces/a', /did you mean/],
    ['s3:/bucket/faces', /did you mean s3:\/\/bucket\/faces\?/],
    ['s3://bucket/faces?versionId=1', /no query/],
    ['s3://bucket/a\\b', /none of/],
    ['k8s://a/b', /s3:\/\/bucket\/prefix/],
    ['../../escape', /did you mean file:\/\/..\/..\/escape\?/],
    ['~/faces', /write the home folder out/],
    ['file://', /a folder must follow/],
    ['file:///', /nobody's to fill/],
    ['file:/faces', /did you mean file:\/\/\/faces\?/],
    ['file://localhost/faces', /no host follows/],
    ['file://10.1.2.3/faces', /no host follows/],
    ['file://me:sEcrEt@host/faces', /no host follows/],
    ['file://~/faces', /write the home folder out/],
    ['file://a?b=c', /no query/],
    ['file://a\nb', /control character/],
    [`file://${'x'.repeat(2000)}`, /2000 letters/],
    ['s3://', /bucket must follow/],
    ['s3:///faces', /bucket must follow/],
    ['s3://ab/x', /3 to 63/],
    ['s3://faces/a//b', /no empty part/],
    ['s3://faces/../b', /no empty part/],
    ['s3://AKIAIOSFODNN7EXAMPLE:sEcrEt@faces/a', /come from the environment/],
    ['s3://localhost:9000/faces', /come from the environment/],
    [`s3://faces/${'x'.repeat(200)}`, /at most 100 bytes/],
  ];
  for (const [url, message] of bad)
    it(`is not ${url.slice(0, 50)}`, () => {
      assert.throws(
        () => parseStoreUrl(url),
        (error) =>
          error instanceof OperatorError &&
          message.test(error.message) &&
          !/sEcrEt|AKIAIOSFODNN7EXAMPLE/.test(error.message),
      );
    });
});

test('a folder may be given by its path too, and nothing else that has a scheme', () => {
  const placeOf = (given: string) => parsePlaceOrPath(given, 'DIR');
  assert.deepEqual(placeOf('a/b c'), parseStoreUrl('file://a/b c'));
  assert.deepEqual(placeOf('s3://faces/a'), parseStoreUrl('s3://faces/a'));
  assert.equal(parseFolder('models', '--out'), 'models');
  assert.equal(parseFolder('file://models', '--out'), resolve('models'));
  for (const given of ['', 'gs://b/x', 'S3://b/x', 'https://h/x', 'a\u0007b']) {
    assert.throws(() => placeOf(given), OperatorError, given);
    assert.throws(() => parseFolder(given, '--out'), OperatorError, given);
  }
  assert.throws(() => parseFolder('s3://faces/a', '--out'), /--out: given .*on this machine/);
});

test('a run is the id of a local one or a place', () => {
  assert.equal(runUrl('faces-1.b_2'), parseStoreUrl('file://runs/faces-1.b_2').url);
  assert.equal(runUrl('s3://bucket/runs/x/'), 's3://bucket/runs/x');
  const orElse = 'k8s://NAMESPACE/NAME';
  const bad = ['', '.', '..', '.hidden', '-x', 'a b', 'a/b', 'ä', 'x'.repeat(101), 'K8S://a/b'];
  for (const run of bad)
    assert.throws(
      () => runUrl(run, { key: '--run', orElse }),
      (error) => error instanceof OperatorError && /--run: .*local run.*k8s/.test(error.message),
      run,
    );
  assert.throws(() => runUrl(`file:///${'x'.repeat(201)}`), /at most 200 letters/);
});

describe('keys', () => {
  it('come in the order of their UTF-8 bytes, not of UTF-16', () => {
    assert.ok(compareKeys('\u{ff5e}', '\u{1f600}') < 0);
    assert.ok(compareKeys('a.txt', 'a/b') < 0);
  });

  it('are refused with a reason', () => {
    assert.equal(keyFault('checkpoints/step-00000001/generator.safetensors'), undefined);
    assert.match(keyFault('a/.lockstep-tmp-1') ?? '', /keeps for itself/);
    assert.match(keyFault('x'.repeat(901)) ?? '', /longer than/);
    assert.match(keyFault('x'.repeat(201)) ?? '', /200 bytes/);
    assert.match(keyFault('a\nb') ?? '', /control character/);
  });
});

describe('what the operator reads when S3 fails', () => {
  const place = {
    url: 's3://faces/a',
    bucket: 'faces',
    endpoint: 'http://127.0.0.1:9000',
    secrets: ['AKIAIOSFODNN7EXAMPLE', 'very/secret+key', undefined, ''],
  };
  const failure = (error: object): Error =>
    s3Failure(Object.assign(new Error('m'), error), 'put x', place);
  const advice: [string, object, RegExp][] = [
    ['no bucket', { name: 'NoSuchBucket' }, /create bucket "faces"/],
    ['no credentials', { name: 'CredentialsProviderError' }, /there are none.*AWS_ACCESS_KEY_ID/],
    ['a wrong key', { name: 'InvalidAccessKeyId' }, /it said InvalidAccessKeyId/],
    ['a wrong secret', { name: 'SignatureDoesNotMatch' }, /it said SignatureDoesNotMatch/],
    ['no rights', { name: 'AccessDenied' }, /ask for the rights/],
    ['HEAD without rights', { name: '403', $metadata: { httpStatusCode: 403 } }, /the rights/],
    ['no region', { message: 'Region is missing' }, /set AWS_REGION/],
  ];
  for (const [name, error, message] of advice)
    it(`names the url and what to do: ${name}`, () => {
      const said = failure(error);
      assert.ok(said instanceof OperatorError);
      assert.match(said.message, message);
      assert.match(said.message, /s3:\/\/faces\/a/);
    });

  it('never quotes credentials, whatever the server quotes', () => {
    const message =
      'bad request by AKIAIOSFODNN7EXAMPLE: very/secret+key ' +
      'http://me:pw12@h/x?X-Amz-Signature=abcdef&X-Amz-Credential=AKIAQQQQQQQQQQQQQQQQ%2F2026';
    const said = failure({ name: 'InternalError', message, $metadata: { httpStatusCode: 500 } });
    assert.ok(said instanceof StoreUnavailable);
    assert.match(said.message, /can't put x in s3:\/\/faces\/a at http:\/\/127.0.0.1:9000/);
    const everything = `${said.stack} ${JSON.stringify(said)} ${String(said.cause)}`;
    assert.doesNotMatch(everything, /AKIA|very|pw12|abcdef/);
  });
});
