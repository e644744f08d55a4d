// Prints what happens to a run, a line an event: its history out of JetStream first, then what
// comes, through restarts of the server. It needs the package `nats` and nothing of Lockstep:
//   node event-consumer.js nats://localhost:4222 faces

import { connect } from 'nats';

const [servers = 'nats://localhost:4222', run = 'faces'] = process.argv.slice(2);
const subject = `lockstep.v1.${run}`;
const connection = await connect({ servers, maxReconnectAttempts: -1 });

const manager = await connection.jetstreamManager();
const stream = await manager.streams.find(`${subject}.run`);
// An ordered consumer: from the first message on, each once; it keeps nothing on the server.
const consumer = await connection.jetstream().consumers.get(stream, {
  filterSubjects: [`${subject}.>`],
});

const texts = {
  'step.committed': ({ step, images_per_s, metrics }) =>
    `${step}, ${images_per_s.toFixed(1)} images/s, ${JSON.stringify(metrics)}`,
  'world.formed': ({ step, members, reason }) =>
    `${members.map(({ worker }) => worker).join(', ')} from step ${step}: ${reason}`,
  'sample.written': ({ step, psnr, url }) => `${step}, PSNR ${psnr?.toFixed(2)} dB: ${url}`,
};
for await (const message of await consumer.consume({ expires: 5_000 })) {
  const { time, type, data } = message.json();
  const name = type.replace('lockstep.', '');
  const text = texts[name]?.(data) ?? JSON.stringify(data);
  process.stdout.write(`${time} ${name} ${text}\n`);
}
