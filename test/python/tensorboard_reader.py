"""What TensorBoard reads of event files: by its event accumulator, and by its whole server's API.

Input: {"logdir": url or path, "server": whether to ask the server too}.
"""

import hashlib
import json
import sys
import time
import urllib.parse
import urllib.request

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata


def finite(value):
    return value if value == value else None


def hparam_values(accumulator):
    """The hyperparameters of the session's start, and the status of its end."""
    found = accumulator.summary_metadata
    start = found.get(metadata.SESSION_START_INFO_TAG)
    end = found.get(metadata.SESSION_END_INFO_TAG)
    info = start and metadata.parse_session_start_info_plugin_data(start.plugin_data.content)
    return {
        "values": {
            name: getattr(value, value.WhichOneof("kind"))
            for name, value in (info.hparams.items() if info else [])
        },
        "group": info and info.group_name,
        "status": end and metadata.parse_session_end_info_plugin_data(end.plugin_data.content).status,
    }


def accumulated(logdir):
    accumulator = EventAccumulator(logdir, size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    return {
        "scalars": {
            tag: [[e.step, finite(e.value), e.wall_time] for e in accumulator.Scalars(tag)]
            for tag in tags["scalars"]
        },
        "images": {
            tag: [
                [e.step, hashlib.sha256(e.encoded_image_string).hexdigest(), e.width, e.height]
                for e in accumulator.Images(tag)
            ]
            for tag in tags["images"]
        },
        "hparams": hparam_values(accumulator),
    }


def served(logdir):
    """The answers of a TensorBoard over the folder, which is asked until it has read it."""
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(
        argv=["tensorboard", "--logdir", logdir, "--host", "127.0.0.1", "--port", "0",
              "--samples_per_plugin", "scalars=100000,images=1000"]
    )
    url = board.launch()

    def ask(path, body=None, **query):
        address = f"{url}data/{path}"
        if query:
            address += f"?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else content

    deadline = time.time() + 60
    while not (tags := ask("plugin/scalars/tags")) and time.time() < deadline:
        time.sleep(0.2)
    (run, names), = tags.items()
    images = ask("plugin/images/images", run=run, tag="samples", sample=0)
    read = [ask("plugin/images/individualImage?" + image["query"]) for image in images]
    experiment = ask("plugin/hparams/experiment", {})
    return {
        "scalars": {
            tag: [[step, value if isinstance(value, float) else None, wall]
                  for wall, step, value in ask("plugin/scalars/scalars", run=run, tag=tag)]
            for tag in names
        },
        "images": {
            "samples": [
                [image["step"], hashlib.sha256(png).hexdigest()]
                for image, png in zip(images, read)
            ]
        },
        "hparams": experiment,
    }


wanted = json.load(sys.stdin)
result = {"accumulated": accumulated(wanted["logdir"])}
if wanted["server"]:
    result["served"] = served(wanted["logdir"])
print(json.dumps(result))
