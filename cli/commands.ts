// The commands of `lockstep`, in the order of the help. A command's module is loaded only when it
// was asked for, so that `lockstep --help` and `lockstep spec` start at once.

import type { Argv } from 'yargs';

/** A command: how it is called, what it does in a few words, and its module. */
export interface CommandEntry {
  /** The word and its positional arguments, as the help shows them. */
  readonly usage: string;
  readonly summary: string;
  /** It says itself what an interruption means; any other command is ended by it at once. */
  readonly stopsInOrder?: boolean;
  /** A "-" among its arguments is standard input or output. */
  readonly takesDash?: boolean;
  /** Loads the module and adds the whole command. */
  register(y: Argv): Promise<Argv>;
}

/** All commands. A test holds `usage` and `summary` to what the modules themselves say. */
export const commands: readonly CommandEntry[] = [
  {
    usage: 'demo',
    summary: 'Train on real faces with two workers, stop, resume, and show what came out',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/demo.js')).demoCommand),
  },
  {
    usage: 'dataset <action>',
    summary: 'Pack pictures into a dataset, list it, verify it',
    register: async (y) => y.command((await import('./commands/dataset.js')).datasetCommand),
  },
  {
    usage: 'spec [name]',
    summary: 'Print or check a run spec',
    register: async (y) => y.command((await import('./commands/spec.js')).specCommand),
  },
  {
    usage: 'train',
    summary: 'Train a run from its spec with N worker processes on this machine',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/train.js')).trainCommand),
  },
  {
    usage: 'resume <run>',
    summary: 'Go on with a run from its newest whole checkpoint, on any number of workers',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/resume.js')).resumeCommand),
  },
  {
    usage: 'launch',
    summary: 'Launch a run on Kubernetes, or go on with it, and wait for its end',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/launch.js')).launchCommand),
  },
  {
    usage: 'status <run>',
    summary: 'Say where a run is: its world, step, time left, checkpoint, and each worker',
    register: async (y) => y.command((await import('./commands/status.js')).statusCommand),
  },
  {
    usage: 'trace <run>',
    summary: 'Trace the next steps of all workers of a run, for Perfetto',
    stopsInOrder: true,
    takesDash: true,
    register: async (y) => y.command((await import('./commands/trace.js')).traceCommand),
  },
  {
    usage: 'watch <run>',
    summary: 'Show a run as it goes on: progress, losses, faces, workers, and what happened last',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/watch.js')).watchCommand),
  },
  {
    usage: 'scale <run>',
    summary: 'Change how many workers a run has while it trains; the bytes stay the same',
    register: async (y) => y.command((await import('./commands/scale.js')).scaleCommand),
  },
  {
    usage: 'logs <run>',
    summary: 'Show what the coordinators or workers of a run in a cluster print',
    register: async (y) => y.command((await import('./commands/logs.js')).logsCommand),
  },
  {
    usage: 'cancel <run>',
    summary: 'End a run in a cluster and leave nothing of it there; its checkpoints stay',
    register: async (y) => y.command((await import('./commands/cancel.js')).cancelCommand),
  },
  {
    usage: 'chaos <run>',
    summary: 'Inject faults into a run that goes on, and tell how it recovers',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/chaos.js')).chaosCommand),
  },
  {
    usage: 'checkpoints <action>',
    summary: "List and verify a run's checkpoints",
    register: async (y) =>
      y.command((await import('./commands/checkpoints.js')).checkpointsCommand),
  },
  {
    usage: 'report <runs..>',
    summary: 'Write one HTML file of a run, or of several side by side',
    register: async (y) => y.command((await import('./commands/report.js')).reportCommand),
  },
  {
    usage: 'export <run>',
    summary: 'Export the trained generator of a run as an ONNX, TF.js or PyTorch model',
    register: async (y) => y.command((await import('./commands/export.js')).exportCommand),
  },
  {
    usage: 'models <action>',
    summary: 'List the trained generators that come with Lockstep',
    register: async (y) => y.command((await import('./commands/models.js')).modelsCommand),
  },
  {
    usage: 'upscale <inputs..>',
    summary: 'Enlarge pictures with a trained generator',
    stopsInOrder: true,
    takesDash: true,
    register: async (y) => y.command((await import('./commands/upscale.js')).upscaleCommand),
  },
  {
    usage: 'evaluate <model> [faces]',
    summary: 'Judge a model by originals: PSNR, SSIM, identity, LPIPS, beside bicubic',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/evaluate.js')).evaluateCommand),
  },
  {
    usage: 'serve [model]',
    summary: 'Serve a page that enlarges the pictures dropped on it',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/serve.js')).serveCommand),
  },
  {
    usage: 'coordinator',
    summary: 'Run the coordinator of a run: workers join it',
    stopsInOrder: true,
    register: async (y) =>
      y.command((await import('./commands/coordinator.js')).coordinatorCommand),
  },
  {
    usage: 'worker',
    summary: 'Run one worker: it joins a coordinator, computes gradients and exchanges them',
    stopsInOrder: true,
    register: async (y) => y.command((await import('./commands/worker.js')).workerCommand),
  },
  {
    usage: 'tls <action>',
    summary: 'Make, renew and show the certificates of a run on machines of your own',
    register: async (y) => y.command((await import('./commands/tls.js')).tlsCommand),
  },
  {
    usage: 'bench <what>',
    summary: 'Measure what this machine can do',
    register: async (y) => y.command((await import('./commands/bench.js')).benchCommand),
  },
  {
    usage: 'setup <engine>',
    summary: 'Set up what an engine needs beyond npm packages',
    register: async (y) => y.command((await import('./commands/setup.js')).setupCommand),
  },
  {
    usage: 'doctor',
    summary: 'Say whether this machine has what a run needs',
    register: async (y) => y.command((await import('./commands/doctor.js')).doctorCommand),
  },
];

/** The word of a command, without its positional arguments. */
export function wordOf(entry: CommandEntry): string {
  return entry.usage.split(' ', 1)[0] ?? entry.usage;
}

/** The command that a command line asks for; undefined for none, or one that does not exist. */
export function chosenCommand(args: readonly string[]): CommandEntry | undefined {
  const word = args.find((arg) => !arg.startsWith('-'));
  return commands.find((entry) => wordOf(entry) === word);
}
