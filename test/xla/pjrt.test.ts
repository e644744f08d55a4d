// The binding of XLA's plugin interface on the plugin for CPUs: values there and back, donation,
// devices, executables that are stored, errors in place of crashes, and nothing that is left.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openXlaClient } from '../../worker/engine/xla/plugin.js';
import type { PjrtBuffer, PjrtClient, PjrtDevice } from '../../worker/engine/xla/pjrt.js';
import { runProgram } from '../../cli/processes.js';
import { packageFile } from '../../shared/paths.js';
import { watchNativeMemory } from '../support/engine/native-memory.js';
import { skipWithoutXla } from '../support/servers.js';

/** a x b, into a's memory where a is donated. */
const product = `module @product {
  func.func public @main(
    %a: tensor<2x2xf32> {tf.aliasing_output = 0 : i32}, %b: tensor<2x2xf32>
  ) -> tensor<2x2xf32> {
    %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]
      : (tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>
    return %0 : tensor<2x2xf32>
  }
}`;
const [a, b] = [Float32Array.of(1, 2, 3, 4), Float32Array.of(5, 6, 7, 8)];
const expected = [19, 22, 43, 50];

/** x + 1 for `count` floats, in x's memory. */
const increment = (count: number): string => `module @increment {
  func.func public @main(
    %x: tensor<${count}xf32> {tf.aliasing_output = 0 : i32}
  ) -> tensor<${count}xf32> {
    %one = stablehlo.constant dense<1.0> : tensor<${count}xf32>
    %0 = stablehlo.add %x, %one : tensor<${count}xf32>
    return %0 : tensor<${count}xf32>
  }
}`;

/** Many matrix products one after the other, each of the same numbers: slow to compile. */
function longProgram(steps: number): string {
  const lines = Array.from({ length: steps }, (_, i) => {
    const from = i === 0 ? '%x' : `%y${i - 1}`;
    return `    %s${i} = stablehlo.sine ${from} : tensor<64x64xf32>
    %t${i} = stablehlo.transpose %s${i}, dims = [1, 0] : (tensor<64x64xf32>) -> tensor<64x64xf32>
    %y${i} = stablehlo.dot_general %t${i}, ${from}, contracting_dims = [1] x [0]
      : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>`;
  });
  return `module @long {
  func.func public @main(%x: tensor<64x64xf32>) -> tensor<64x64xf32> {
${lines.join('\n')}
    return %y${steps - 1} : tensor<64x64xf32>
  }
}`;
}

/** 64 KiB of WebAssembly's memory; its types are a browser's, which this project leaves out. */
function wasmMemory(): ArrayBuffer {
  const { Memory } = (globalThis as unknown as { WebAssembly: WasmNames }).WebAssembly;
  return new Memory({ initial: 1 }).buffer;
}
interface WasmNames {
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
}

async function valuesOf(buffer: PjrtBuffer | undefined): Promise<number[]> {
  assert.ok(buffer);
  const values = new Float32Array(buffer.shape.reduce((x, y) => x * y, 1));
  await buffer.download(values);
  return [...values];
}

describe('PJRT on the plugin for CPUs', { skip: skipWithoutXla }, () => {
  let client: PjrtClient;
  let device: PjrtDevice;
  before(async () => {
    ({ client } = await openXlaClient({ provider: 'cpu', threads: 2, devices: 2 }));
    [device] = client.devices as [PjrtDevice];
  });
  after(() => client.close());

  it('says what it is', () => {
    assert.equal(client.platform, 'cpu');
    assert.match(client.apiVersion, /^0\.\d+$/);
    assert.deepEqual(
      client.devices.map(({ index }) => index),
      [0, 1],
    );
    assert.notEqual(device.kind, '');
  });

  it('computes on every device with one executable, and consumes what is donated', async () => {
    const executable = await client.compile(product);
    for (const one of client.devices) {
      const inputs = [await client.upload(a, [2, 2], one), await client.upload(b, [2, 2], one)];
      const [kept] = await executable.execute(one, inputs, { kept: [0] });
      assert.deepEqual(await valuesOf(kept), expected);
      assert.deepEqual(await valuesOf(inputs[0]), [...a]);
      const [result] = await executable.execute(one, inputs);
      assert.deepEqual(await valuesOf(result), expected);
      await assert.rejects(valuesOf(inputs[0]), /INVALID_ARGUMENT: .*deleted or donated/);
      for (const buffer of [...inputs, kept, result]) buffer?.close();
    }
    executable.close();
    assert.equal(client.liveBuffers, 0);
  });

  it('moves views of shared memory and of WebAssembly memory', async () => {
    const shared = new Float32Array(new SharedArrayBuffer(1024), 512, 4);
    const wasm = new Float32Array(wasmMemory(), 256, 4);
    for (const view of [shared, wasm]) {
      view.set(a);
      const buffer = await client.upload(view, [4], device);
      view.fill(0);
      await buffer.download(view);
      assert.deepEqual([...view], [...a]);
      buffer.close();
    }
  });

  it('has done with an array when its upload resolves', async () => {
    const large = new Float32Array(1 << 20).fill(1);
    const buffer = await client.upload(large, [large.length], device);
    large.fill(2);
    assert.ok((await valuesOf(buffer)).every((value) => value === 1));
    buffer.close();
  });

  it('gives an executable back out of its bytes, and refuses other bytes', async () => {
    const compiled = await client.compile(product);
    const bytes = compiled.serialize();
    compiled.close();
    assert.ok(bytes);
    const executable = await client.load(bytes);
    const inputs = [await client.upload(a, [2, 2], device), await client.upload(b, [2, 2], device)];
    const [result] = await executable.execute(device, inputs);
    assert.deepEqual(await valuesOf(result), expected);
    for (const buffer of [...inputs, result]) buffer?.close();
    executable.close();
    bytes[20] = (bytes[20] ?? 0) ^ 255;
    await assert.rejects(client.load(bytes), { name: 'PjrtError', code: 'INTERNAL' });
  });

  it("rejects with PJRT's own words", async () => {
    await assert.rejects(client.compile('module { nonsense }'), /PJRT_Client_Compile: .*nonsense/s);
    await assert.rejects(client.compile(product, { xla_nonsense: true }), {
      code: 'INVALID_ARGUMENT',
      message: /xla_nonsense/,
    });
    await assert.rejects(
      client.upload(a, [3], device),
      /4 floats are no tensor of the shape \[3\]/,
    );
  });

  it('gives an error for what is closed', async () => {
    const executable = await client.compile(increment(4));
    const buffer = await client.upload(a, [4], device);
    buffer.close();
    buffer.close();
    await assert.rejects(executable.execute(device, [buffer]), /the buffer is closed/);
    await assert.rejects(valuesOf(buffer), /the buffer is closed/);
    executable.close();
    await assert.rejects(executable.execute(device, []), /the executable is closed/);
  });

  it('finishes what is under way when its client is closed, and then destroys all', async () => {
    const { client: other } = await openXlaClient({ provider: 'cpu', threads: 1, devices: 1 });
    const [its] = other.devices as [PjrtDevice];
    const executable = await other.compile(increment(1 << 20));
    const buffer = await other.upload(new Float32Array(1 << 20), [1 << 20], its);
    const running = executable.execute(its, [buffer]);
    other.close();
    await running;
    assert.equal(other.liveBuffers, 0);
    assert.throws(() => executable.serialize(), /the executable is closed/);
    await assert.rejects(other.compile(product), /the client is closed/);
  });

  it('lets the event loop run while it compiles', async () => {
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 5);
    const startMs = performance.now();
    const executable = await client.compile(longProgram(400));
    const tookMs = performance.now() - startMs;
    clearInterval(timer);
    executable.close();
    assert.ok(tookMs > 50, `it took ${tookMs} ms: too short to tell`);
    assert.ok(ticks >= tookMs / 50, `${ticks} ticks of 5 ms in ${tookMs} ms`);
  });

  it('ends a process in which everything is alive without a crash', async () => {
    const script = `
      const { openXlaClient } = await import(process.argv[1]);
      const { client } = await openXlaClient({ provider: 'cpu', threads: 1, devices: 1 });
      const executable = await client.compile(process.argv[2]);
      const buffer = await client.upload(new Float32Array(4), [4], client.devices[0]);
      void executable.execute(client.devices[0], [buffer]);
      void client.compile(process.argv[3]);
      console.log('alive');
      if (process.argv[4] === 'exit') process.exit(0);`;
    const module = packageFile('dist/worker/engine/xla/plugin.js');
    for (const how of ['exit', 'end']) {
      const args = ['--input-type=module', '-e', script, module, increment(4), product, how];
      assert.equal(await runProgram(process.execPath, args, { whenMissing: '' }), 'alive');
    }
  });

  it('leaves neither buffers nor memory behind in 500 steps', async () => {
    const count = 1 << 16;
    const executable = await client.compile(increment(count));
    const values = new Float32Array(count);
    let state = await client.upload(values, [count], device);
    const step = async (): Promise<void> => {
      const batch = await client.upload(values, [count], device);
      const [next] = await executable.execute(device, [state]);
      assert.ok(next);
      state.close();
      state = next;
      await state.download(values);
      batch.close();
    };
    // Until the allocators of all threads have what they need.
    for (let i = 0; i < 1000; i++) await step();
    const memory = watchNativeMemory(500);
    for (let i = 0; i < 500; i++) {
      await step();
      assert.equal(client.liveBuffers, 1);
      memory.look();
    }
    assert.ok(values.every((value) => value === 1500));
    memory.assertNothingKept();
    state.close();
    executable.close();
    assert.equal(client.liveBuffers, 0);
  });
});
