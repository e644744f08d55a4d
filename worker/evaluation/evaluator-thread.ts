// The evaluation thread: answers each request with one outcome, in order. It has an engine
// session and stores of its own, so that the training thread waits for nothing of it.

import { parentPort, workerData } from 'node:worker_threads';
import { assess } from '../../inference/evaluation/assess.js';
import { openMeasuringNetworks } from '../../inference/evaluation/measuring-networks.js';
import type { MeasuringNetworks } from '../../inference/evaluation/judge.js';
import type { EvaluationReport } from '../../shared/control/messages.js';
import { messageOf } from '../../shared/problems.js';
import { openStore } from '../../shared/store/open-store.js';
import { sampleKey } from '../../shared/store/sample-keys.js';
import { giveWay } from '../../shared/thread-priority.js';
import { createSrganTask } from '../../task/srgan/task.js';
import { openFaceSupply, type FaceSupply } from '../data/faces.js';
import { createOnnxEngine } from '../engine/onnx-engine.js';
import { createEnlargers, type EnlargerOf } from './enlarger.js';
import type { EvaluationOutcome, EvaluationRequest, EvaluationSetup } from './evaluator.js';
import { putSamples } from './samples.js';

const port = parentPort;
if (port === null) throw new Error('the evaluation thread is started by the evaluator only');

// Before the engine starts threads of its own, which inherit it.
giveWay();

const { spec, runUrl, storeOptions, threads } = workerData as EvaluationSetup;
const run = openStore(runUrl, storeOptions);
const dataset = openStore(spec.dataset.url, storeOptions);

// Made by the first request, not before: a failure belongs to a request, and the next tries anew.
let tools: Tools | undefined;

interface Tools {
  readonly enlargerOf: EnlargerOf;
  readonly readFaces: FaceSupply;
  readonly networks: MeasuringNetworks;
}

async function evaluate(request: EvaluationRequest): Promise<EvaluationOutcome> {
  const { step } = request;
  const startedAt = performance.now();
  const { enlargerOf, readFaces, networks } = (tools ??= {
    enlargerOf: createEnlargers(createOnnxEngine({ threads }), createSrganTask(spec)),
    readFaces: await openFaceSupply(dataset, spec),
    networks: await openMeasuringNetworks({ threads }),
  });
  const { mean, faces, ...pictures } = await assess(readFaces(), enlargerOf(request), {
    ...{ shown: spec.evaluation.faces, networks },
  });
  const { generated, bicubic } = mean;
  await putSamples(run, step, pictures);
  const report: EvaluationReport = {
    kind: 'evaluation',
    step,
    psnr: generated.psnr,
    ssim: generated.ssim,
    bicubicPsnr: bicubic.psnr,
    bicubicSsim: bicubic.ssim,
    ...(generated.identity === undefined ? {} : { identity: generated.identity }),
    ...(bicubic.identity === undefined ? {} : { bicubicIdentity: bicubic.identity }),
    faces: faces.length,
    sampleKey: sampleKey(step),
    seconds: (performance.now() - startedAt) / 1000,
  };
  return { kind: 'evaluated', step, report };
}

port.on('message', (request: EvaluationRequest) => {
  void evaluate(request)
    .catch((error: unknown): EvaluationOutcome => {
      return { kind: 'failed', step: request.step, reason: messageOf(error) };
    })
    .then((outcome) => port.postMessage(outcome));
});
