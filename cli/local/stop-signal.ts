// SIGINT and SIGTERM as one AbortSignal: the first asks to stop at the next step, with a
// checkpoint; the third ends the process at once.

/** A signal that is aborted when the operator asks to stop. */
export function stopOnSignals(onAgain: () => void): AbortSignal {
  const controller = new AbortController();
  let count = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    count += 1;
    if (count === 1) controller.abort(name);
    else if (count === 2) onAgain();
    else process.exit(130);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return controller.signal;
}
