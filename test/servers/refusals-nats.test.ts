// What a real nats-server refuses, or answers when it is set up in another way than Lockstep wants:
// said once, in the server's own words, however often it is tried again.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, DiscardPolicy, type StreamConfig } from 'nats';
import { createNatsBus } from '../../shared/events/nats-bus.js';
import { anyEvent } from '../support/watch/events.js';
import { skipWithout, startNatsServer } from '../support/servers.js';
import { testFolder } from '../support/tiny-run.js';
import { until } from '../support/until.js';

interface Case {
  readonly name: string;
  readonly says: RegExp;
  /** Of the configuration file, beside JetStream. */
  readonly settings?: string;
  readonly login?: string;
  readonly stream?: Partial<StreamConfig> & { readonly name: string };
}

const user = (permissions: string): string =>
  `authorization { users: [{user: me, password: pw, permissions: {${permissions}}}] }`;
const login = 'me:pw@';

const cases: readonly Case[] = [
  {
    name: 'a full stream',
    stream: { name: 'X', subjects: ['lockstep.>'], max_msgs: 2, discard: DiscardPolicy.New },
    says: /refuses: it says "maximum messages exceeded"; events wait/,
  },
  {
    name: 'a stream of the same name with other subjects',
    stream: { name: 'LOCKSTEP', subjects: ['other.>'] },
    says: /refuses: .*already in use.*; a stream must take lockstep\.v1\.>/,
  },
  {
    name: 'a stream that takes some of the subjects',
    stream: { name: 'X', subjects: ['lockstep.v1.*.run'] },
    says: /refuses: no stream takes lockstep\.v1\.r\.step/,
  },
  {
    name: 'a message limit',
    stream: { name: 'X', subjects: ['lockstep.>'], max_msg_size: 10 },
    says: /refuses: it says "message size exceeds maximum allowed"; event r\/0 is lost/,
  },
  {
    name: 'too little storage',
    settings: 'jetstream { max_file_store: 1MB }',
    says: /refuses: it says "insufficient storage resources available"/,
  },
  {
    name: 'no right to use JetStream',
    settings: user('publish: {deny: "$JS.API.>"}'),
    login,
    says: /refuses: it says "Permissions Violation for Publish to '\$JS\.API/,
  },
  {
    name: 'no right to hear answers',
    settings: user('subscribe: {deny: "_INBOX.>"}'),
    login,
    says: /refuses: it says "Permissions Violation for Subscription to '_INBOX\.>'/,
  },
  {
    name: 'another password',
    settings: user(''),
    login: 'me:wrong@',
    says: /is away: it refuses the credentials/,
  },
  { name: 'TLS where there is none', login: 'tls', says: /is away: TLS can't be agreed on/ },
];

for (const { name, says, settings = '', login = '', stream } of cases)
  test(`NATS with ${name}`, { skip: skipWithout('nats-server') }, async () => {
    const config = join(testFolder(), 'nats.conf');
    await writeFile(config, settings);
    const server = await startNatsServer(['-c', config]);
    try {
      if (stream !== undefined) {
        const connection = await connect({ servers: server.url });
        await (await connection.jetstreamManager()).streams.add(stream);
        await connection.close();
      }
      const url =
        login === 'tls'
          ? server.url.replace('nats:', 'tls:')
          : server.url.replace('//', `//${login}`);
      const notices: string[] = [];
      const bus = createNatsBus({ url, run: 'r', onNotice: (text) => notices.push(text) });
      for (let n = 0; n < 4; n++)
        bus.publish(anyEvent('r', n === 0 ? 'run.x' : 'step.x', String(n)));
      await until(() => notices.length > 0, 'a notice');
      // Long enough for two connections more.
      await bus.flush(2_500);
      await bus.close();
      assert.equal(notices.length, 1, notices.join('\n'));
      assert.match(notices[0] ?? '', says);
    } finally {
      await server.close();
    }
  });
