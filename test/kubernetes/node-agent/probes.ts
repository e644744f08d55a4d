// Probes as the kubelet runs them: a connection or a command, again and again, and a
// verdict when enough of them in a row said the same.

import type { V1Container, V1Probe } from '@kubernetes/client-node';
import { spawn } from 'node:child_process';
import { connect } from 'node:net';

/** What a probe needs to know of its container. */
export interface Probed {
  readonly container: V1Container;
  readonly podIp: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Rewrites paths in a command. */
  rewrite(text: string): string;
}

/** The number of a port that may be given by name. */
export function portNumber(container: V1Container, port: unknown): number {
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  return named ?? Number(port);
}

/** Runs a probe until the returned function is called; `onVerdict` gets each threshold reached. */
export function startProbe(
  probe: V1Probe,
  probed: Probed,
  onVerdict: (isGood: boolean) => void,
): () => void {
  const periodMs = (probe.periodSeconds ?? 10) * 1000;
  let inARow = 0;
  let last: boolean | undefined;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  const round = async (): Promise<void> => {
    const isGood = await check(probe, probed);
    if (isStopped) return;
    inARow = isGood === last ? inARow + 1 : 1;
    last = isGood;
    if (inARow === (isGood ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3)))
      onVerdict(isGood);
    schedule(periodMs);
  };
  const schedule = (afterMs: number): void => {
    if (!isStopped) timer = setTimeout(() => void round(), afterMs);
  };
  schedule((probe.initialDelaySeconds ?? 0) * 1000);
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

/** One try. A kind the agent does not know is never good. */
function check(probe: V1Probe, probed: Probed): Promise<boolean> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const { tcpSocket, exec } = probe;
  if (tcpSocket !== undefined) {
    const port = portNumber(probed.container, tcpSocket.port);
    return connects(tcpSocket.host ?? probed.podIp, port, timeoutMs);
  }
  const argv = (exec?.command ?? []).map((text) => probed.rewrite(text));
  return argv.length > 0 ? succeeds(argv, probed, timeoutMs) : Promise.resolve(false);
}

function connects(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const end = (isGood: boolean): void => {
      socket.destroy();
      resolve(isGood);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
    socket.setTimeout(timeoutMs, () => end(false));
  });
}

function succeeds(
  [program = '', ...args]: readonly string[],
  { env, cwd }: Probed,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      ...{ env, cwd, stdio: 'ignore' as const },
      ...{ timeout: timeoutMs, killSignal: 'SIGKILL' as const },
    });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}
