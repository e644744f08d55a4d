// A container's arguments as Kubernetes hands them over, parsed by the commands' own definitions.

import yargs, { type CommandModule } from 'yargs';
import { coordinatorCommand } from '../../../cli/commands/coordinator.js';
import { workerCommand } from '../../../cli/commands/worker.js';

/** A command line that was accepted. */
export interface CommandLine {
  readonly command: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Replaces `$(NAME)` as the kubelet does; throws for a name that the pod does not set. */
export function expand(args: readonly string[], values: Readonly<Record<string, string>>) {
  return args.map((arg) =>
    arg.replace(/\$\((\w+)\)/g, (_, name: string) => {
      const value = values[name];
      if (value === undefined) throw new Error(`${name} is not set`);
      return value;
    }),
  );
}

/** Parses as strictly as `lockstep` does, and runs nothing; throws what is wrong. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  let accepted: CommandLine | undefined;
  const listed = <T>(module: CommandModule<object, T>): CommandModule<object, T> => ({
    ...module,
    handler: ({ _: [command], ...values }) => {
      accepted = { command: String(command), values };
    },
  });
  yargs()
    .parserConfiguration({ 'greedy-arrays': false, 'dot-notation': false })
    .command(listed(coordinatorCommand))
    .command(listed(workerCommand))
    .demandCommand(1)
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      throw error instanceof Error ? error : new Error(message);
    })
    .parseSync([...args]);
  if (accepted === undefined) throw new Error(`no command: ${args.join(' ')}`);
  return accepted;
}
